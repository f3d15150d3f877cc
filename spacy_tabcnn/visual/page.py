"""HTML pages that need no other file."""

from collections.abc import Iterable

from markupsafe import Markup

from .templates import render

_PICTURES = """
figure { margin: 0 0 2rem; overflow-x: auto; }
"""


def make_page(
    title: str,
    body: Iterable[str],
    *,
    style: str,
    lang: str = "en",
    direction: str = "ltr",
    script: str = "",
) -> str:
    """Make an HTML page that needs no other file.

    title (str): Title of the page.
    body (Iterable[str]): Content of the page, as lines of HTML.
    style (str): CSS of the page.
    lang (str): Language of the page, as a code such as "en".
    direction (str): Direction of the text, "ltr" or "rtl".
    script (str): JavaScript of the page; "" for none.
    RETURNS (str): The page.
    """
    return render(
        "page.html",
        title=title,
        body=Markup("\n").join(map(Markup, body)),
        style=Markup(style),
        script=Markup(script),
        lang=lang,
        direction=direction,
    )


def make_picture_page(pictures: Iterable[str], *, lang: str = "en", direction: str = "ltr") -> str:
    """Make an HTML page of pictures; a picture that is wider than the page scrolls by itself.

    pictures (Iterable[str]): SVG pictures.
    lang (str): Language of their text, as a code such as "en".
    direction (str): Direction of their text, "ltr" or "rtl".
    RETURNS (str): The page.
    """
    figures = map("<figure>{}</figure>".format, pictures)
    return make_page(
        "Entities and relations", figures, style=_PICTURES, lang=lang, direction=direction
    )

"""HTML pages that need no other file."""

from collections.abc import Iterable

from markupsafe import Markup

from .templates import render


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

"""HTML pages that need no other file."""

from collections.abc import Iterable
from html import escape

_PAGE = """<!DOCTYPE html>
<html lang="{lang}" dir="{direction}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""
_PICTURES = """
:root { color-scheme: light dark; }
body { margin: 1rem; font: 16px/1.5 system-ui, sans-serif; }
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
    content = "\n".join(body)
    if script:
        content += f"\n<script>{script}</script>"
    return _PAGE.format(
        lang=escape(lang), direction=direction, title=escape(title), style=style, body=content
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

"""Self-contained HTML pages."""

from collections.abc import Iterable, Sequence
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

    title (str): Its title.
    body (Iterable[str]): Its content, HTML.
    style (str): Its CSS.
    lang (str): Its language.
    direction (str): "ltr" or "rtl".
    script (str): Its JavaScript.
    RETURNS (str): The page.
    """
    content = "\n".join(body) + (f"\n<script>{script}</script>" if script else "")
    return _PAGE.format(
        lang=escape(lang), direction=direction, title=escape(title), style=style, body=content
    )


def make_picture_page(pictures: Sequence[str], *, lang: str, direction: str) -> str:
    """Make an HTML page of pictures, each of which scrolls by itself where the page is narrower.

    pictures (Sequence[str]): SVG pictures.
    lang (str): The language of their text.
    direction (str): "ltr" or "rtl".
    RETURNS (str): The page.
    """
    figures = (f"<figure>{picture}</figure>" for picture in pictures)
    return make_page(
        "Entities and relations", figures, style=_PICTURES, lang=lang, direction=direction
    )

"""Texts in one line, their direction and their estimated width. No font is read."""

from unicodedata import bidirectional, category, east_asian_width

from spacy.tokens import Doc, Span

# Widths of characters in Arial, in units of the font size.
_CLASSES = (
    ("'ijl|", 0.22),
    (" !,./:;I[\\]ft", 0.28),
    ('"()-`r{}', 0.35),
    ("Jckvsxyz", 0.5),
    ("FLTZ", 0.61),
    ("ABEKPSVXY", 0.67),
    ("CDHNRUw", 0.72),
    ("GOQ", 0.78),
    ("Mm", 0.83),
    ("%@W", 0.95),
)
_WIDTHS = {char: width for chars, width in _CLASSES for char in chars}


def clean(text: str) -> str:
    """Return a text in one line, without the characters that XML cannot hold.

    text (str): The text.
    RETURNS (str): The text with single spaces. It is empty if there is only white space.
    """
    return " ".join("".join(map(_clean_character, text)).split())


def measure(text: str, font_size: float) -> float:
    """Estimate the width of a text.

    text (str): The text.
    font_size (float): Size of the font, in pixels.
    RETURNS (float): The width in pixels.
    """
    return font_size * sum(map(_measure_character, text))


def shorten(text: str, font_size: float, width: float) -> str:
    """Cut off the end of a text that is too wide.

    text (str): The text.
    font_size (float): Size of the font, in pixels.
    width (float): Maximum width, in pixels.
    RETURNS (str): The text, with an ellipsis if it was cut.
    """
    if measure(text, font_size) <= width:
        return text
    return f"{split_at(text, font_size, width - font_size)[0]}…"


def split_at(text: str, font_size: float, width: float) -> tuple[str, str]:
    """Split a text at a width.

    text (str): The text.
    font_size (float): Size of the font, in pixels.
    width (float): Maximum width of the first part, in pixels.
    RETURNS (tuple[str, str]): The first part, of at least one character, and the rest.
    """
    used = 0.0
    for index, char in enumerate(text):
        used += font_size * _measure_character(char)
        if used > width and index > 0:
            return text[:index], text[index:]
    return text, ""


def is_wide(char: str) -> bool:
    """Check whether a character is as wide as Chinese ones; lines may break beside it.

    char (str): The character.
    RETURNS (bool): True for the characters of East Asian scripts.
    """
    return east_asian_width(char) in "WF"


def get_language(doc: Doc) -> str:
    """Return the language of a document for HTML.

    doc (Doc): The document.
    RETURNS (str): Its code; empty if it is unknown, or the code of spaCy for several languages.
    """
    if doc.lang_ == "xx":
        return ""
    return doc.lang_


def choose_direction(passage: Span) -> str:
    """Choose the direction of a passage.

    passage (Span): The words.
    RETURNS (str): "rtl" if the language, or most of its letters, run from right to left, else
        "ltr".
    """
    if passage.doc.vocab.writing_system.get("direction") == "rtl":
        return "rtl"
    kinds = list(map(bidirectional, passage.text))
    if kinds.count("R") + kinds.count("AL") > kinds.count("L"):
        return "rtl"
    return "ltr"


def _clean_character(char: str) -> str:
    if category(char) in ("Cc", "Cn", "Cs") and not char.isspace():
        return "\ufffd"
    return char


def _measure_character(char: str) -> float:
    if char in _WIDTHS:
        return _WIDTHS[char]
    if is_wide(char):
        return 1.0
    if category(char) in ("Mn", "Me", "Cf"):
        return 0.0
    if char.isupper():
        return 0.7
    return 0.56

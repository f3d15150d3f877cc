"""Entities and relations as words and arcs, in the form that displaCy draws."""

import re
import warnings
from typing import Any

from spacy.displacy.render import escape_html
from spacy.tokens import Span
from spacy.util import filter_spans

from ..relations import get_relations

_SIZE = re.compile(r'width="(?P<width>[\d.]+)" height="(?P<height>[\d.]+)"')
_TEXT = re.compile(r'class="displacy-(?:word|tag)"[^>]* x="(?P<x>[\d.]+)">(?P<text>[^<]*)<')
_ARC = re.compile(
    r'class="displacy-arc"[^>]* d="M[^,]*,(?P<foot>\S+) (?P<curved>C?)[^,]*,(?P<top>\S+) '
)

MIN_TEXT, MAX_TEXT = 12, 24  # characters of what is drawn as one word


def relation_arcs(passage: Span) -> dict[str, Any]:
    """Lay out a passage for displaCy's style "dep": each entity is a word with its type as tag, each relation within
    the passage an arc from its head to its tail. The words between entities are drawn together, as many as fit.

    passage (Span): The words. Arguments of relations that are no entities count as entities.
    RETURNS (dict): {"words": [{"text", "tag"}], "arcs": [{"start", "end", "label", "dir"}]}, what `displacy.render`
        takes with `manual=True`, with tags and labels escaped, which displaCy leaves to its caller.
    """
    doc, start, end = passage.doc, passage.start, passage.end
    relations = [
        relation
        for relation in get_relations(doc)
        if all(start <= span.start and span.end <= end for span in (relation.head, relation.tail))
    ]
    entities = [ent for ent in doc.ents if start <= ent.start and ent.end <= end]
    is_entity = {i for ent in entities for i in range(ent.start, ent.end)}
    others = [
        span
        for relation in relations
        for span in relation[:2]
        if is_entity.isdisjoint(_indices(span))
    ]
    merged = {span.start: span for span in (*entities, *filter_spans(others))}
    limit = max([MIN_TEXT, *(min(len(_text(span)), MAX_TEXT) for span in merged.values())])

    words: list[dict[str, str]] = []
    drawn_in: dict[int, int] = {}  # the drawn word of each token
    is_open = False  # whether the last drawn word may take more tokens
    position = start
    while position < end:
        span = merged.get(position, doc[position : position + 1])
        text = _text(span)
        together = f"{words[-1]['text']} {text}" if is_open else ""
        if position in merged:
            words.append({"text": _shorten(text, limit), "tag": escape_html(span.label_)})
            is_open = False
        elif text and is_open and len(together) <= limit:
            words[-1]["text"] = together
        elif text:
            words.append({"text": text, "tag": ""})
            is_open = True
        drawn_in.update(dict.fromkeys(_indices(span), max(len(words) - 1, 0)))
        position = span.end

    arcs = []
    for head, tail, label, _ in relations:
        one, other = drawn_in[head.start], drawn_in[tail.start]
        if one != other:
            direction = "right" if one < other else "left"
            first, last = sorted((one, other))
            arcs.append(
                {"start": first, "end": last, "label": escape_html(label), "dir": direction}
            )
    if len(arcs) < len(relations):
        warnings.warn(
            f"{len(relations) - len(arcs)} relations join spans that overlap; displaCy cannot draw them",
            stacklevel=2,
        )
    return {"words": words, "arcs": arcs}


def mirror(arcs: dict[str, Any]) -> dict[str, Any]:
    """Lay out a text of a language that is written from right to left. displaCy's own way of it draws the labels of
    arcs upside down.

    arcs (dict): What `relation_arcs` returned.
    RETURNS (dict): The same from right to left.
    """
    last = len(arcs["words"]) - 1
    turned = {"left": "right", "right": "left"}
    return {
        "words": arcs["words"][::-1],
        "arcs": [
            {
                **arc,
                "start": last - arc["end"],
                "end": last - arc["start"],
                "dir": turned[arc["dir"]],
            }
            for arc in arcs["arcs"]
        ],
    }


def margin(text: str) -> int:
    """RETURNS (int): The room, in pixels, that displaCy's pictures need on either side of a word's centre."""
    return max(50, 5 * len(text) + 10)


def crop(picture: str) -> str:
    """Cut off the empty room that displaCy leaves above the highest arc and behind the last word.

    picture (str): SVG that displaCy drew in style "dep".
    RETURNS (str): The same, smaller.
    """
    size = _SIZE.search(picture)
    if size is None:
        return picture
    peaks = []
    for arc in _ARC.finditer(picture):
        foot, top = float(arc["foot"]), float(arc["top"])
        # A Bézier curve whose two control points are at the top gets three quarters of the way there.
        peaks.append(foot + 0.75 * (top - foot) if arc["curved"] else top)
    above = max(min(peaks, default=0.0) - 4, 0.0)  # of which the line itself takes a part
    ends = [float(text["x"]) + margin(text["text"]) for text in _TEXT.finditer(picture)]
    width = min(max(ends, default=0.0), float(size["width"]))
    height = float(size["height"]) - above
    view = f'width="{width:g}" height="{height:g}" viewBox="0 {above:g} {width:g} {height:g}"'
    picture = picture.replace(size[0], view, 1)
    return picture.replace(f"height: {size['height']}px", f"height: {height:g}px", 1)


def _indices(span: Span) -> range:
    return range(span.start, span.end)


def _text(span: Span) -> str:
    return " ".join(span.text.split())


def _shorten(text: str, limit: int) -> str:
    """Cut out the middle of a text that is too long."""
    kept = (limit - 1) // 2
    return text if len(text) <= limit else f"{text[:kept].rstrip()}…{text[-kept:].lstrip()}"

"""Entities and relations as words and arcs, drawn by displaCy."""

import re
import warnings
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Literal, TypeAlias, TypedDict

from spacy import displacy
from spacy.displacy.render import escape_html
from spacy.tokens import Span
from spacy.util import filter_spans

from ..relations import Relation, get_relations

# Minimum and maximum number of characters of a drawn word. A drawn word may hold several tokens.
MIN_TEXT, MAX_TEXT = 12, 24

Direction: TypeAlias = Literal["left", "right"]


class Word(TypedDict):
    """A drawn word, in displaCy's form.

    text (str): Its text.
    tag (str): The type of the entity, escaped for HTML; "" if the word is no entity.
    """

    text: str
    tag: str


class Arc(TypedDict):
    """An arc between two drawn words, in displaCy's form.

    start (int): Index of the first word.
    end (int): Index of the last word.
    label (str): The type of the relation, escaped for HTML.
    dir (str): "right" if the arrow points to the last word, "left" if it points to the first one.
    """

    start: int
    end: int
    label: str
    dir: Direction


class ArcDiagram(TypedDict):
    """A diagram, in the form that `displacy.render` reads with `style="dep"` and `manual=True`.

    words (list[Word]): The drawn words, from left to right.
    arcs (list[Arc]): The arcs between them.
    """

    words: list[Word]
    arcs: list[Arc]


def draw_diagram(passage: Span, options: Mapping[str, object] | None = None) -> str:
    """Draw the entities and relations of a passage as words and arcs.

    passage (Span): The words.
    options (Mapping[str, object] | None): Options of displaCy's style "dep". The defaults of
        "distance" and "offset_x" depend on the words.
    RETURNS (str): An SVG picture.
    """
    diagram = relation_arcs(passage)
    settings = displacy.get_doc_settings(passage.doc)
    if settings["direction"] == "rtl":
        diagram = mirror(diagram)
    # `mirror` has done displaCy's part for texts that run from right to left.
    data = {**diagram, "settings": {**settings, "direction": "ltr"}}
    chosen = {**_choose_distances(diagram), **(options or {})}
    return crop(displacy.render(data, style="dep", manual=True, jupyter=False, options=chosen))


def relation_arcs(passage: Span) -> ArcDiagram:
    """Lay out a passage as words and arcs.

    Each entity is a drawn word with its type as tag. Each relation within the passage is an arc
    from its head to its tail. Tokens between entities share drawn words, as many as fit.

    passage (Span): The words. Arguments of relations that are no entities count as entities.
    RETURNS (ArcDiagram): The words and arcs. Tags and labels are escaped, since displaCy does not
        escape them.
    """
    relations = _find_relations(passage)
    entities = _find_entities(passage, relations)
    line = _Line(_choose_limit(entities.values()))
    position = passage.start
    while position < passage.end:
        if position in entities:
            span = entities[position]
            line.add_entity(span)
        else:
            span = passage.doc[position : position + 1]
            line.add_token(span)
        position = span.end
    arcs = _connect(relations, line.word_of)
    n_missing = len(relations) - len(arcs)
    if n_missing:
        warnings.warn(
            f"{n_missing} relations join spans that overlap; displaCy cannot draw them",
            stacklevel=2,
        )
    return {"words": line.words, "arcs": arcs}


def mirror(diagram: ArcDiagram) -> ArcDiagram:
    """Lay out a diagram from right to left.

    displaCy can do so, too, but it draws the labels of the arcs upside down.

    diagram (ArcDiagram): The diagram, from left to right.
    RETURNS (ArcDiagram): The diagram from right to left.
    """
    last = len(diagram["words"]) - 1
    arcs = []
    for arc in diagram["arcs"]:
        direction: Direction = "left" if arc["dir"] == "right" else "right"
        start, end = last - arc["end"], last - arc["start"]
        arcs.append(Arc(start=start, end=end, label=arc["label"], dir=direction))
    return {"words": diagram["words"][::-1], "arcs": arcs}


# Layout: from a passage to words and arcs.


class _Line:
    """The drawn words of a passage, filled from left to right.

    limit (int): Maximum number of characters of a drawn word.

    words (list[Word]): The drawn words.
    word_of (dict[int, int]): Index of the drawn word of each token of the document.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self.words: list[Word] = []
        self.word_of: dict[int, int] = {}
        self._is_open = False  # whether the last drawn word may take more tokens

    def add_entity(self, span: Span) -> None:
        """Draw an entity as a word of its own."""
        text = _shorten(_read_text(span), self.limit)
        self.words.append({"text": text, "tag": escape_html(span.label_)})
        self._is_open = False
        self._place(span)

    def add_token(self, span: Span) -> None:
        """Add a token to the last drawn word if it fits, else draw a new one."""
        text = _read_text(span)
        if text and self._has_room(text):
            self.words[-1]["text"] += f" {text}"
        elif text:
            self.words.append({"text": text, "tag": ""})
            self._is_open = True
        self._place(span)

    def _has_room(self, text: str) -> bool:
        return self._is_open and len(self.words[-1]["text"]) + 1 + len(text) <= self.limit

    def _place(self, span: Span) -> None:
        last = max(len(self.words) - 1, 0)
        self.word_of.update(dict.fromkeys(_list_tokens(span), last))


def _find_relations(passage: Span) -> list[Relation]:
    """Find the relations with both arguments in a passage."""
    relations = []
    for relation in get_relations(passage.doc):
        if _is_within(relation.head, passage) and _is_within(relation.tail, passage):
            relations.append(relation)
    return relations


def _find_entities(passage: Span, relations: Iterable[Relation]) -> dict[int, Span]:
    """Find the spans that are drawn as entities, by their first token."""
    entities = {}
    for ent in passage.doc.ents:
        if _is_within(ent, passage):
            entities[ent.start] = ent
    for span in filter_spans(_find_other_arguments(relations, entities.values())):
        entities[span.start] = span
    return entities


def _find_other_arguments(relations: Iterable[Relation], entities: Iterable[Span]) -> list[Span]:
    """Find the arguments of relations that share no token with an entity."""
    tokens = set(chain.from_iterable(map(_list_tokens, entities)))
    others = []
    for head, tail, _, _ in relations:
        for argument in (head, tail):
            if tokens.isdisjoint(_list_tokens(argument)):
                others.append(argument)
    return others


def _choose_limit(entities: Iterable[Span]) -> int:
    """Choose the maximum number of characters of a drawn word: enough for the longest entity."""
    longest = max(map(len, map(_read_text, entities)), default=0)
    return min(max(longest, MIN_TEXT), MAX_TEXT)


def _connect(relations: Iterable[Relation], word_of: Mapping[int, int]) -> list[Arc]:
    """Draw an arc for each relation between two different words."""
    arcs = []
    for head, tail, label, _ in relations:
        first, last = word_of[head.start], word_of[tail.start]
        direction: Direction = "right"
        if first > last:
            first, last, direction = last, first, "left"
        if first < last:
            arcs.append(Arc(start=first, end=last, label=escape_html(label), dir=direction))
    return arcs


def _is_within(span: Span, passage: Span) -> bool:
    return passage.start <= span.start and span.end <= passage.end


def _list_tokens(span: Span) -> range:
    return range(span.start, span.end)


def _read_text(span: Span) -> str:
    """Return the text of a span in one line."""
    return " ".join(span.text.split())


def _shorten(text: str, limit: int) -> str:
    """Cut out the middle of a text that is too long."""
    if len(text) <= limit:
        return text
    kept = (limit - 1) // 2
    return f"{text[:kept].rstrip()}…{text[-kept:].lstrip()}"


# Pictures, in pixels.

_SIZE = re.compile(r'width="(?P<width>[\d.]+)" height="(?P<height>[\d.]+)"')
_TEXT = re.compile(r'class="displacy-(?:word|tag)"[^>]* x="(?P<x>[\d.]+)">(?P<text>[^<]*)<')
_ARC = re.compile(
    r'class="displacy-arc"[^>]* d="M[^,]*,(?P<foot>\S+) (?P<curved>C?)[^,]*,(?P<top>\S+) '
)


class _Distances(TypedDict):
    """The two of displaCy's options that depend on the words."""

    distance: int
    offset_x: int


def _choose_distances(diagram: ArcDiagram) -> _Distances:
    """Choose distances that leave room for all words and labels.

    displaCy places words at equal distances, whatever their lengths, and centres the first one.
    """
    first, longest = "", 0
    if diagram["words"]:
        first = diagram["words"][0]["text"]
    for word in diagram["words"]:
        longest = max(longest, len(word["text"]))
    distance: float = 8 * longest + 20
    for arc in diagram["arcs"]:
        distance = max(distance, 8 * len(arc["label"]) / (arc["end"] - arc["start"]) + 50)
    return {"distance": round(distance), "offset_x": _margin(first)}


def _margin(text: str) -> int:
    """Compute the width that a picture needs on either side of a word's centre."""
    return max(50, 5 * len(text) + 10)


def crop(picture: str) -> str:
    """Cut off the empty space that displaCy leaves above the highest arc and behind the last word.

    picture (str): SVG that displaCy drew in style "dep".
    RETURNS (str): The smaller picture.
    """
    size = _SIZE.search(picture)
    if size is None:
        return picture
    above = max(_find_top(picture) - 4, 0.0)  # part of the stroke is above the arc
    width = min(_find_right(picture), float(size["width"]))
    height = float(size["height"]) - above
    view = f'width="{width:g}" height="{height:g}" viewBox="0 {above:g} {width:g} {height:g}"'
    picture = picture.replace(size[0], view, 1)
    return picture.replace(f"height: {size['height']}px", f"height: {height:g}px", 1)


def _find_top(picture: str) -> float:
    """Find the top of the highest arc; 0 if there is no arc."""
    tops = []
    for arc in _ARC.finditer(picture):
        foot, top = float(arc["foot"]), float(arc["top"])
        if arc["curved"]:
            # A Bézier curve with two control points at the top reaches 3/4 of their height.
            top = foot + 0.75 * (top - foot)
        tops.append(top)
    return min(tops, default=0.0)


def _find_right(picture: str) -> float:
    """Find the right edge of the last text; 0 if there is no text."""
    right = 0.0
    for text in _TEXT.finditer(picture):
        right = max(right, float(text["x"]) + _margin(text["text"]))
    return right

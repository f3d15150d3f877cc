"""Entities as boxes around words and relations as arcs between them, in SVG."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias
from zlib import crc32

from markupsafe import Markup
from spacy.tokens import Doc, Span

from ..relations import Relation, get_entity_scores, get_relations
from .layout import Arc, Layout, Point, Rect
from .lines import PADDING, SMALL, Box, nest_boxes
from .options import PictureOptions, label_colours
from .templates import render
from .text import choose_direction, clean, get_language, measure, shorten

WIDTH, NARROW = 800, 340  # of lines of words, on large and on small screens
CORNER = 7  # radius of an arc's corners
ARROW = 8  # length of an arrowhead

Bounds: TypeAlias = tuple[int, int]


class _DrawnText(NamedTuple):
    """A text and its place; the lower edge of the place is the baseline."""

    text: str
    place: Rect


class _DrawnBox(NamedTuple):
    """A box, or words outside of boxes.

    title (str): Its description; "" for words.
    classes (str): Its CSS classes.
    colour (str): Its CSS colour.
    rects (list[Rect]): Its parts.
    texts (list[_DrawnText]): The words that are in no inner box.
    label (str): Its type.
    """

    title: str
    classes: str
    colour: str
    rects: list[Rect]
    texts: list[_DrawnText]
    label: str


class _DrawnArc(NamedTuple):
    """An arc.

    title (str): Its description.
    classes (str): Its CSS classes.
    colour (str): Its CSS colour.
    path (str): Its line, as path data of SVG.
    arrow (str): Its arrowhead, as path data of SVG.
    label (_DrawnText): Its type, and the background of the type.
    """

    title: str
    classes: str
    colour: str
    path: str
    arrow: str
    label: _DrawnText


def draw_diagram(
    passage: Span, *, labels: Sequence[str], options: PictureOptions | None = None
) -> Markup:
    """Draw the entities and relations of a passage.

    Each entity is a box around its words, with its type. Each relation within the passage is an arc
    from its head to its tail. The others fade while a pointer is on a box or an arc, or the
    keyboard on an arc.

    passage (Span): The words. Arguments of relations that are no entities are boxes, too.
    labels (Sequence[str]): All labels, in the order that decides their colours.
    options (PictureOptions | None): Colours, font and width.
    RETURNS (Markup): An SVG picture.
    """
    options = options or {}
    width = options.get("width", WIDTH)
    relations = _find_relations(passage)
    boxes = nest_boxes(_find_boxes(passage, relations))
    arcs, names = _list_arcs(passage, boxes, relations, width)
    direction = choose_direction(passage)
    layout = Layout(passage, boxes, arcs, width=width, is_mirrored=direction == "rtl")
    colours = defaultdict(lambda: "currentColor", label_colours(labels))
    colours.update(options.get("colors", {}))
    classes = _group_items(len(boxes), arcs)
    drawn_boxes = _draw_boxes(passage, boxes, layout, classes, colours)
    drawn_arcs = []
    for index, (relation, name) in enumerate(zip(relations, names, strict=True)):
        css = classes[len(boxes) + index]
        drawn_arcs.append(_draw_arc(relation, name, layout, index, css, colours))
    content = repr((width, layout.view, drawn_boxes, drawn_arcs))
    return render(
        "arcs.svg",
        id=f"arcs-{crc32(content.encode()):08x}",
        view=layout.view,
        boxes=drawn_boxes,
        arcs=drawn_arcs,
        n_items=len(classes),
        lang=get_language(passage.doc),
        direction=direction,
        options=options,
    )


def draw_fluid_diagram(
    passage: Span, *, labels: Sequence[str], options: PictureOptions | None = None
) -> Markup:
    """Draw a passage in two widths. CSS shows the picture that fits the width around it.

    passage (Span): The words.
    labels (Sequence[str]): All labels, in the order that decides their colours.
    options (PictureOptions | None): Colours and font.
    RETURNS (Markup): HTML with two SVG pictures.
    """
    pictures = []
    for width in (WIDTH, NARROW):
        sized: PictureOptions = {**(options or {}), "width": width}
        pictures.append(draw_diagram(passage, labels=labels, options=sized))
    return render("fluid.html", wide=pictures[0], narrow=pictures[1], width=WIDTH)


def list_labels(docs: Iterable[Doc]) -> list[str]:
    """List the labels of documents in the order that decides their colours.

    docs (Iterable[Doc]): The documents.
    RETURNS (list[str]): Types of entities, sorted, then types of relations, sorted.
    """
    entities: set[str] = set()
    relations: set[str] = set()
    for doc in docs:
        entities.update(ent.label_ for ent in doc.ents)
        for head, tail, label, _ in get_relations(doc):
            entities |= {head.label_, tail.label_}
            relations.add(label)
    return sorted(entities - {""}) + sorted(relations - entities)


def _find_relations(passage: Span) -> list[Relation]:
    """Find the relations with both arguments in a passage."""
    relations = []
    for relation in get_relations(passage.doc):
        if _is_within(relation.head, passage) and _is_within(relation.tail, passage):
            relations.append(relation)
    return relations


def _find_boxes(passage: Span, relations: Sequence[Relation]) -> list[Box]:
    """Find the entities of a passage, and the arguments of relations that are no entities."""
    labels: dict[Bounds, str] = {}
    for ent in passage.doc.ents:
        if _is_within(ent, passage):
            labels[_get_bounds(ent, passage)] = ent.label_
    n_ends = dict.fromkeys(labels, 0)
    for relation in relations:
        for argument in (relation.head, relation.tail):
            bounds = _get_bounds(argument, passage)
            labels.setdefault(bounds, argument.label_)
            n_ends[bounds] = n_ends.get(bounds, 0) + 1
    boxes = []
    for (start, end), label in labels.items():
        boxes.append(Box(start, end, label, n_ends[start, end]))
    return boxes


def _is_within(span: Span, passage: Span) -> bool:
    return passage.start <= span.start and span.end <= passage.end


def _get_bounds(span: Span, passage: Span) -> Bounds:
    return span.start - passage.start, span.end - passage.start


def _list_arcs(
    passage: Span, boxes: Sequence[Box], relations: Sequence[Relation], width: float
) -> tuple[list[Arc], list[str]]:
    """List the arcs of relations, with their labels as they are shown."""
    index = {(box.start, box.end): i for i, box in enumerate(boxes)}
    arcs, names = [], []
    for relation in relations:
        name = shorten(clean(relation.label), SMALL, width / 2)
        head = index[_get_bounds(relation.head, passage)]
        tail = index[_get_bounds(relation.tail, passage)]
        arcs.append(Arc(head, tail, measure(name, SMALL) + 2 * PADDING))
        names.append(name)
    return arcs, names


def _group_items(n_boxes: int, arcs: Sequence[Arc]) -> list[str]:
    """Name the items with which each box and each arc stays visible.

    A box goes with its arcs and with the boxes at their other ends.

    RETURNS (list[str]): CSS classes of the boxes, then of the arcs.
    """
    groups: list[set[int]] = [{item} for item in range(n_boxes + len(arcs))]
    for item, arc in enumerate(arcs, start=n_boxes):
        groups[item] |= {arc.head, arc.tail}
        groups[arc.head] |= {item, arc.tail}
        groups[arc.tail] |= {item, arc.head}
    classes = []
    for item, group in enumerate(groups):
        names = map("g{}".format, sorted(group))
        classes.append(f"item t{item} {' '.join(names)}")
    return classes


# Boxes and words.


def _draw_boxes(
    passage: Span,
    boxes: Sequence[Box],
    layout: Layout,
    classes: Sequence[str],
    colours: Mapping[str, str],
) -> list[_DrawnBox]:
    """Draw words and boxes in text order; an outer box comes before the boxes in it."""
    scores = get_entity_scores(passage.doc)
    drawn = []
    for index, box in enumerate(boxes):
        span = passage[box.start : box.end]
        score = scores.get((span.start_char, span.end_char, box.label))
        rects = layout.place_box(index)
        label = clean(box.label)
        title = _describe(f"{clean(span.text)}: {label}".removesuffix(": "), score)
        name = shorten(label, SMALL, rects[0].width)
        drawn.append(_DrawnBox(title, classes[index], colours[box.label], rects, [], name))
    pieces = []
    placed: set[int] = set()
    for run in layout.lines.runs:
        for index in reversed(run.boxes):
            if index not in placed:
                pieces.append(drawn[index])
                placed.add(index)
        text = _DrawnText(run.text, layout.place_run(run))
        if run.boxes:
            drawn[run.boxes[0]].texts.append(text)
        else:
            pieces.append(_DrawnBox("", "", "", [], [text], ""))
    return pieces


def _draw_arc(
    relation: Relation,
    name: str,
    layout: Layout,
    index: int,
    classes: str,
    colours: Mapping[str, str],
) -> _DrawnArc:
    head, tail, label, score = relation
    points = layout.place_arc(index)
    tip, before = points[-1], points[-2]
    down = 1
    if tip.y < before.y:
        down = -1
    base = Point(tip.x, tip.y - down * ARROW)
    return _DrawnArc(
        _describe(f"{clean(head.text)} → {clean(label)} → {clean(tail.text)}", score),
        classes,
        colours[label],
        _round_corners([*points[:-1], base]),
        f"M{_format(tip)}l-4,{-down * ARROW}h8z",
        _DrawnText(name, layout.place_label(index)),
    )


def _describe(text: str, score: float | None) -> str:
    """Describe an item, with its score if it was predicted."""
    if score is None or score == 1.0:
        return text
    return f"{text} ({score:.2f})"


def _round_corners(points: Sequence[Point]) -> str:
    """Draw a line through corners, which are rounded where there is room."""
    path = f"M{_format(points[0])}"
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        start, end = _approach(corner, before), _approach(corner, after)
        path += f"L{_format(start)}Q{_format(corner)} {_format(end)}"
    return f"{path}L{_format(points[-1])}"


def _approach(corner: Point, other: Point) -> Point:
    """Return the point near a corner on the way to another one."""
    x, y = other.x - corner.x, other.y - corner.y
    part = min(CORNER / max(abs(x), abs(y), 1e-6), 0.5)
    return Point(corner.x + part * x, corner.y + part * y)


def _format(point: Point) -> str:
    return f"{point.x:.1f},{point.y:.1f}"

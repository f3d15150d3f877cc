"""The places of words, boxes and arcs in a picture. All lengths are in pixels."""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from spacy.tokens import Span

from .lines import Box, Fragment, Run, fill_lines
from .routes import Edge, Segment, choose_lanes, find_routes

MARGIN = 6
ASCENT, DESCENT = 15, 6  # of the words, with the edge of a box
LABEL_ROW = 13  # height of the label of a box
NESTING = 3  # distance of the upper edges of nested boxes
EMPTY_BAND = 8  # height of a band without arcs
TRACK, FIRST_TRACK, LAST_TRACK = 20, 22, 20  # heights from track to track, below and above them
LABEL = 16  # height of the label of an arc
LANE = 9  # maximum distance of two lanes


class Arc(NamedTuple):
    """An arc to place.

    head (int): Index of the box at which it starts.
    tail (int): Index of the box to which its arrow points.
    label (float): Width of its label.
    """

    head: int
    tail: int
    label: float


class Point(NamedTuple):
    """A point of a picture."""

    x: float
    y: float


class Rect(NamedTuple):
    """A rectangle of a picture."""

    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        """The middle between the left and the right edge."""
        return self.x + self.width / 2


class Layout:
    """The places in a picture.

    passage (Span): The words.
    boxes (Sequence[Box]): The boxes, the inner ones first.
    arcs (Sequence[Arc]): The arcs.
    width (float): Width of the lines of words, with the lanes.
    is_mirrored (bool): Whether lines run from right to left.

    lines (Lines): The words and the parts of boxes in lines.
    view (Rect): The edges of the picture.
    """

    def __init__(
        self,
        passage: Span,
        boxes: Sequence[Box],
        arcs: Sequence[Arc],
        *,
        width: float,
        is_mirrored: bool,
    ):
        self._boxes = boxes
        self._arcs = arcs
        self._is_mirrored = is_mirrored
        self.lines = fill_lines(passage, boxes, width)
        edges = self._list_edges()
        lanes = choose_lanes(edges)
        gutter = min(LANE * len(set(lanes.values())), width / 5)
        if lanes:
            # The lanes need room, so there may be more lines and lanes.
            self.lines = fill_lines(passage, boxes, width - gutter)
            edges = self._list_edges()
            lanes = choose_lanes(edges)
        distance = gutter / (max(lanes.values(), default=0) + 1)
        places = {index: -distance * (lane + 1) for index, lane in lanes.items()}
        self._routes = find_routes(edges, places, first=-gutter, last=width - gutter)
        bottom = self._place_lines()
        right = self.lines.width
        for route in self._routes:
            right = max(right, *(segment.right for segment in route))
        left = -gutter
        if is_mirrored:
            left = -right
        self.view = Rect(left - MARGIN, -MARGIN, right + gutter + 2 * MARGIN, bottom + 2 * MARGIN)

    def place_run(self, run: Run) -> Rect:
        """Return the place of words; its lower edge is their baseline."""
        baseline = self._baselines[run.line]
        return self._make_rect(run.left, run.right, baseline - ASCENT, baseline)

    def place_box(self, index: int) -> list[Rect]:
        """Return the parts of a box, in text order."""
        rects = []
        for part in self.lines.fragments[index]:
            top, bottom = self._find_edges(index, part)
            rects.append(self._make_rect(part.left, part.right, top, bottom))
        return rects

    def place_arc(self, index: int) -> list[Point]:
        """Return the corners of an arc, from its head to its tail."""
        arc, route = self._arcs[index], self._routes[index]
        start, end = self._order(arc)
        start_part, end_part = self.lines.fragments[start][0], self.lines.fragments[end][0]
        leaves_below = start_part.line < end_part.line
        start_edges = self._find_edges(start, start_part)
        end_edges = self._find_edges(end, end_part)
        points = [self._make_point(route[0].start, start_edges[leaves_below])]
        for segment in route:
            y = self._find_track(segment)
            points.append(self._make_point(segment.start, y))
            points.append(self._make_point(segment.end, y))
        points.append(self._make_point(route[-1].end, end_edges[0]))
        if start != arc.head:
            points.reverse()
        return points

    def place_label(self, index: int) -> Rect:
        """Return the place of the label of an arc."""
        half = self._arcs[index].label / 2
        for segment in self._routes[index]:
            if segment.label is not None:
                y = self._find_track(segment)
                left, right = segment.label - half, segment.label + half
                break
        return self._make_rect(left, right, y - LABEL / 2, y + LABEL / 2)

    def _order(self, arc: Arc) -> tuple[int, int]:
        """Return the upper and the lower box of an arc; within a line, its head and its tail."""
        head, tail = self.lines.fragments[arc.head][0], self.lines.fragments[arc.tail][0]
        if head.line > tail.line:
            return arc.tail, arc.head
        return arc.head, arc.tail

    def _list_edges(self) -> list[Edge]:
        edges = []
        for arc in self._arcs:
            start, end = self._order(arc)
            fragments = self.lines.fragments
            edges.append(Edge(fragments[start][0], fragments[end][0], arc.label))
        return edges

    def _place_lines(self) -> float:
        """Place the baselines of all lines, and return the bottom of the last one."""
        n_lines = self.lines.n_lines
        depths, n_tracks = [-1] * n_lines, [0] * n_lines
        for box, parts in zip(self._boxes, self.lines.fragments, strict=True):
            for part in parts:
                depths[part.line] = max(depths[part.line], box.depth)
        for segment in chain.from_iterable(self._routes):
            n_tracks[segment.band] = max(n_tracks[segment.band], segment.track + 1)
        self._baselines: list[float] = []
        self._tops: list[float] = []
        bottom = 0.0
        for depth, tracks in zip(depths, n_tracks, strict=True):
            if tracks:
                bottom += FIRST_TRACK + TRACK * (tracks - 1) + LAST_TRACK
            elif self._tops:
                bottom += EMPTY_BAND
            self._tops.append(bottom)
            self._baselines.append(bottom + ASCENT + NESTING * max(depth, 0))
            bottom = self._baselines[-1] + DESCENT + LABEL_ROW * (depth + 1)
        return bottom

    def _find_edges(self, index: int, part: Fragment) -> tuple[float, float]:
        """Return the upper and the lower edge of a part of a box."""
        depth, baseline = self._boxes[index].depth, self._baselines[part.line]
        return baseline - ASCENT - NESTING * depth, baseline + DESCENT + LABEL_ROW * (depth + 1)

    def _find_track(self, segment: Segment) -> float:
        return self._tops[segment.band] - FIRST_TRACK - TRACK * segment.track

    def _make_point(self, x: float, y: float) -> Point:
        return Point(self._mirror(x), y)

    def _make_rect(self, left: float, right: float, top: float, bottom: float) -> Rect:
        x = min(self._mirror(left), self._mirror(right))
        return Rect(x, top, right - left, bottom - top)

    def _mirror(self, x: float) -> float:
        if self._is_mirrored:
            return -x
        return x

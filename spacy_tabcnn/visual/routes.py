"""The ways of arcs between boxes: orthogonal edge routing. All lengths are in pixels.

The space above a line of words is its band. An arc runs in a track of a band, and no two arcs of a
track overlap. An arc to the next line leaves its upper box at the bottom. An arc to a later line
passes the lines between in a lane beside them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, count
from typing import NamedTuple

from .lines import Fragment

PORT_DISTANCE = 7.0  # minimum distance of two ends of arcs
MAX_PORT_DISTANCE = 14  # distance of two ends of arcs at a box with enough room
GAP = 8  # between two arcs in a track


class Edge(NamedTuple):
    """The ends of an arc. The start is not below the end.

    start (Fragment): The part of a box at which it starts.
    end (Fragment): The part of a box at which it ends.
    label (float): Width of its label.
    """

    start: Fragment
    end: Fragment
    label: float


class Segment:
    """The horizontal part of an arc in a band.

    band (int): Index of the line below the band.
    start (float): Horizontal place of its start.
    end (float): Horizontal place of its end.
    left (float): Left edge, with the label.
    right (float): Right edge, with the label.
    label (float | None): Middle of the label; None if the label is elsewhere.
    track (int): Index of its track; track 0 is the lowest.
    """

    def __init__(self, band: int, start: float, end: float):
        self.band = band
        self.start = start
        self.end = end
        self.left = min(start, end)
        self.right = max(start, end)
        self.label: float | None = None
        self.track = 0

    def add_label(self, width: float, first: float, last: float) -> None:
        """Put a label in the middle, or as near as the edges of the picture permit.

        width (float): Width of the label.
        first (float): Left edge of the picture.
        last (float): Right edge of the picture.
        """
        middle = (self.left + self.right) / 2
        self.label = max(min(middle, last - width / 2), first + width / 2)
        self.left = min(self.left, self.label - width / 2)
        self.right = max(self.right, self.label + width / 2)


def choose_lanes(edges: Sequence[Edge]) -> dict[int, int]:
    """Choose a lane for each arc that passes a line of words.

    edges (Sequence[Edge]): The arcs.
    RETURNS (dict[int, int]): Lanes by index of the arc. Arcs that share a line have different ones.
    """
    far: list[tuple[int, int]] = []
    for index, edge in enumerate(edges):
        n_lines = edge.end.line - edge.start.line
        if n_lines > 1:
            far.append((n_lines, index))
    taken: defaultdict[int, set[int]] = defaultdict(set)
    lanes = {}
    for _, index in sorted(far):
        lines = range(edges[index].start.line, edges[index].end.line + 1)
        used: set[int] = set().union(*map(taken.__getitem__, lines))
        lanes[index] = next(lane for lane in count() if lane not in used)
        for line in lines:
            taken[line].add(lanes[index])
    return lanes


def find_routes(
    edges: Sequence[Edge], lanes: Mapping[int, float], first: float, last: float
) -> list[list[Segment]]:
    """Find the ways of arcs.

    edges (Sequence[Edge]): The arcs.
    lanes (Mapping[int, float]): Horizontal places of lanes by index of the arc.
    first (float): Left edge of the picture.
    last (float): Right edge of the picture.
    RETURNS (list[list[Segment]]): The horizontal parts of each arc, from its start to its end. An
        arc with a lane has two of them, the others one.
    """
    starts, ends = _place_ports(edges, lanes)
    routes = []
    for index, edge in enumerate(edges):
        route = [Segment(edge.end.line, starts[index], ends[index])]
        if index in lanes:
            upper = Segment(edge.start.line + 1, starts[index], lanes[index])
            route = [upper, Segment(edge.end.line, lanes[index], ends[index])]
        max(route, key=_get_width).add_label(edge.label, first, last)
        routes.append(route)
    _choose_tracks(chain.from_iterable(routes))
    return routes


# Ports: the places at which arcs leave a box.


class _Port(NamedTuple):
    """An end of an arc. The order of ports at a box keeps its arcs from crossing each other.

    side (int): -1 if the arc leaves to the left, 1 if it leaves to the right.
    distance (float): Distance of the other end, with a sign that sorts ports from left to right.
    edge (int): Index of the arc.
    is_start (bool): Whether the arc starts here.
    """

    side: int
    distance: float
    edge: int
    is_start: bool


def _place_ports(
    edges: Sequence[Edge], lanes: Mapping[int, float]
) -> tuple[dict[int, float], dict[int, float]]:
    """Place the ends of arcs at their boxes.

    RETURNS (tuple[dict[int, float], dict[int, float]]): The places of starts and of ends, by index
        of the arc.
    """
    starts: dict[int, float] = {}
    ends: dict[int, float] = {}
    taken: defaultdict[int, list[float]] = defaultdict(list)
    for (box, band), ports in _group_ports(edges, lanes).items():
        distance = min(MAX_PORT_DISTANCE, (box.right - box.left) / (len(ports) + 1))
        place = box.middle - distance * (len(ports) - 1) / 2
        for port in sorted(ports):
            free = _find_free(place, box, taken[band])
            taken[band].append(free)
            if port.is_start:
                starts[port.edge] = free
            else:
                ends[port.edge] = free
            place += distance
    return starts, ends


def _group_ports(
    edges: Sequence[Edge], lanes: Mapping[int, float]
) -> dict[tuple[Fragment, int], list[_Port]]:
    """Group the ends of arcs by box and band."""
    groups: defaultdict[tuple[Fragment, int], list[_Port]] = defaultdict(list)
    for index, edge in enumerate(edges):
        leaves_below = edge.start.line < edge.end.line
        start = _make_port(index, edge.start, lanes.get(index, edge.end.middle), is_start=True)
        end = _make_port(index, edge.end, lanes.get(index, edge.start.middle), is_start=False)
        if leaves_below:
            start = start._replace(distance=-start.distance)
        groups[edge.start, edge.start.line + leaves_below].append(start)
        groups[edge.end, edge.end.line].append(end)
    return groups


def _make_port(edge: int, box: Fragment, target: float, *, is_start: bool) -> _Port:
    """Make the end of an arc at a box. Both ends of a loop are in the middle of their box."""
    if target < box.middle:
        return _Port(-1, box.middle - target, edge, is_start)
    if target > box.middle:
        return _Port(1, box.middle - target, edge, is_start)
    return _Port(0, 0.0, edge, is_start)


def _find_free(place: float, box: Fragment, taken: Sequence[float]) -> float:
    """Find the next place at a box that keeps its distance from all ends of arcs.

    If there is none, the distance is halved.
    """
    distance = PORT_DISTANCE
    while True:
        offset = 0.0
        while offset < box.right - box.left:
            for candidate in (place + offset, place - offset):
                if box.left <= candidate <= box.right and _is_free(candidate, taken, distance):
                    return candidate
            offset += distance
        distance /= 2


def _is_free(place: float, taken: Iterable[float], distance: float) -> bool:
    return not any(abs(place - other) < 0.99 * distance for other in taken)


# Tracks: the heights at which arcs run.


def _choose_tracks(segments: Iterable[Segment]) -> None:
    """Choose the lowest free track of each part, the shortest parts first.

    An arc above another arc's full width gets a higher track.
    """
    bands: defaultdict[int, list[list[Segment]]] = defaultdict(list)
    for segment in sorted(segments, key=_get_width):
        tracks = bands[segment.band]
        while segment.track < len(tracks) and _is_taken(segment, tracks[segment.track]):
            segment.track += 1
        if segment.track == len(tracks):
            tracks.append([])
        tracks[segment.track].append(segment)


def _is_taken(segment: Segment, others: Iterable[Segment]) -> bool:
    for other in others:
        if segment.left < other.right + GAP and other.left < segment.right + GAP:
            return True
    return False


def _get_width(segment: Segment) -> float:
    return segment.right - segment.left

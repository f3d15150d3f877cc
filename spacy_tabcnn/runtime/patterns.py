"""Regular expressions from a file that is not trusted: those that may take exponential time."""

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from .plain_data import AdvisedError

# Repetitions without a limit in a row: the time grows with this power of the length of a word.
MAX_REPETITIONS = 4
# Number of ways in which a part that is repeated may match.
MAX_WAYS = 1000
# A repetition of more items counts as one without a limit.
_MANY = 16

_TOKEN = re.compile(
    r"""
    (?P<escape> \\[pPxuN]\{[^}]*\} | \\. )
    | (?P<set> \[\^?\]?(?:\\.|[^\]\\])*\] )
    | (?P<open> \((?:\?(?:P?<[^=!>][^>]*>|[:=!>]|<[=!]|[a-zA-Z-]*:|[a-zA-Z-]+(?=\))))? )
    | (?P<close> \) )
    | (?P<repeat> (?:[*+?]|\{\d*,?\d*\})[?+]? )
    | (?P<branch> \| )
    | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_VERBOSE = re.compile(r"\(\?[a-wyzA-Z]*x")


class _Group(NamedTuple):
    """The repetitions of a group.

    unlimited (int): Repetitions without a limit in a row.
    ways (int): Number of ways to match the group, counted up to a limit.
    """

    unlimited: int = 0
    ways: int = 1

    def join(self, other: "_Group") -> "_Group":
        """Return the group with another one after it."""
        ways = min(self.ways * other.ways, 2 * MAX_WAYS)
        return _Group(self.unlimited + other.unlimited, ways)


def find_slow_part(pattern: str) -> str | None:
    """Find a part of a regular expression that may take a time beyond all bounds.

    Such parts are a repetition inside a repetition, `(a+)+`, alternatives that are repeated,
    `(a|a)*`, and many repetitions in a row. Some expressions with such a part are fast.

    pattern (str): The expression, in the syntax of Python or of Oniguruma.
    RETURNS (str | None): The part; None if there is none.
    """
    if _VERBOSE.search(pattern):
        return "(?x)"
    return _Scanner(pattern).scan()


def check_expression(
    pattern: str, name: str, list_known: Callable[[], Iterable[str]] | None = None
) -> None:
    """Check that a regular expression can be compiled, and has no part that may be slow.

    pattern (str): The expression, in the syntax of Python.
    name (str): Its name, for a message.
    list_known (Callable | None): Lists alternatives that are trusted.
    RAISES (ValueError): If it does not pass.
    """
    for branch in split_branches(pattern):
        slow = find_slow_part(branch)
        if slow is None or (list_known is not None and branch in list_known()):
            continue
        raise AdvisedError(
            f"{name!r} has a regular expression that may take a time beyond all bounds, with a "
            f"repetition of something that varies: {slow!r:.100}. Write it without"
        )
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as err:
        raise ValueError(f"{name!r} is no regular expression ({err})") from err


class _Open(NamedTuple):
    """A group that is not closed: its branch so far, the branches before, and where it begins."""

    branch: _Group = _Group()
    before: _Group = _Group(0, 0)
    start: int = 0

    def end_branch(self) -> _Group:
        """Return the repetitions of all branches."""
        unlimited = max(self.before.unlimited, self.branch.unlimited)
        return _Group(unlimited, self.before.ways + self.branch.ways)


class _Scanner:
    def __init__(self, pattern: str):
        self.pattern = pattern
        self.opened = [_Open()]
        self.last = _Group()  # the item before, which is joined when no repetition follows
        self.last_start = 0

    def scan(self) -> str | None:
        for match in _TOKEN.finditer(self.pattern):
            kind = match.lastgroup
            if kind == "repeat":
                if not self._repeat(match.group()):
                    return self.pattern[self.last_start : match.end()]
                continue
            self._join_last()
            if kind == "open":
                self.opened.append(_Open(start=match.start()))
            elif kind == "close":
                if len(self.opened) == 1:
                    return match.group()
                self.last_start = self.opened[-1].start
                self.last = self.opened.pop().end_branch()
            elif kind == "branch":
                group = self.opened[-1]
                self.opened[-1] = _Open(_Group(), group.end_branch(), group.start)
            else:
                self.last_start = match.start()
            if self.opened[-1].branch.unlimited > MAX_REPETITIONS:
                return self.pattern[: match.end()]
        self._join_last()
        if self.opened[-1].branch.unlimited > MAX_REPETITIONS:
            return self.pattern
        return None

    def _join_last(self) -> None:
        group = self.opened[-1]
        self.opened[-1] = group._replace(branch=group.branch.join(self.last))
        self.last = _Group()

    def _repeat(self, quantifier: str) -> bool:
        """Take a repetition of the item before; return False if it may be slow."""
        lowest, highest = _read_limits(quantifier)
        if self.last.ways > 1 and highest > 1:
            ways = self.last.ways ** min(highest, _MANY)
            if highest > _MANY or ways > MAX_WAYS:
                return False
            self.last = self.last._replace(ways=ways)
        unlimited = self.last.unlimited + int(highest > _MANY)
        ways = self.last.ways * (highest - lowest + 1)
        self.last = _Group(unlimited, min(ways, 2 * MAX_WAYS))
        return True


def _read_limits(quantifier: str) -> tuple[int, int]:
    """Return the minimum and the maximum number of repetitions."""
    many = _MANY + 1
    simple = {"*": (0, many), "+": (1, many), "?": (0, 1)}
    if quantifier[0] in simple:
        return simple[quantifier[0]]
    lowest, comma, highest = quantifier.strip("{}?+").partition(",")
    minimum = int(lowest[:6] or 0)
    if not comma:
        return minimum, minimum
    if not highest:
        return minimum, many
    return minimum, int(highest[:6])


def split_branches(pattern: str) -> list[str]:
    """Split a regular expression at the alternatives that are in no group.

    pattern (str): The expression.
    RETURNS (list[str]): The alternatives.
    """
    parts = []
    depth, start = 0, 0
    for match in _TOKEN.finditer(pattern):
        if match.lastgroup == "open":
            depth += 1
        elif match.lastgroup == "close":
            depth -= 1
        elif match.lastgroup == "branch" and depth == 0:
            parts.append(pattern[start : match.start()])
            start = match.end()
    return [*parts, pattern[start:]]

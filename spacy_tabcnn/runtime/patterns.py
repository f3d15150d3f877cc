"""Regular expressions from a file that is not trusted: those that may take exponential time."""

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from .plain_data import AdvisedError

# Repetitions without a limit in a row: the time grows with this power of the length of a word.
MAX_REPETITIONS = 2
# Number of ways in which a sequence may match, apart from repetitions without a limit.
MAX_WAYS = 1000
# A repetition of more items counts as one without a limit.
_MANY = 16

# The signs behind "(" of groups that are known.
_KIND = (
    r"\?(?: P?<[^=!>][^>]*> | P= | [:=!>] | <[=!] | (?=\() | [a-wyzA-Z]*(?:-[a-z]+)?(?::|(?=\))) )"
)
# Unknown syntax may hide the rest: comments, the verbose form, recursion, callouts, and control
# characters such as `\c[`. The "+" of `a{1,9}+` is a repetition of its own, as in Oniguruma.
_TOKEN = re.compile(
    rf"""
    (?P<unknown> \\[gcCM] | \((?=[?*])(?!{_KIND})[^)]* )
    | (?P<escape> \\[pPxuN]\{{[^}}]*\}} | \\. )
    | (?P<set> \[\^?\]?(?:\\.|[^\]\\])*\] )
    | (?P<open> \((?:{_KIND})? )
    | (?P<close> \) )
    | (?P<repeat> [*+?][?+]? | \{{\d*,?\d*\}} )
    | (?P<branch> \| )
    | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)


class _Group(NamedTuple):
    """The repetitions of a group.

    unlimited (int): Repetitions without a limit in a row.
    ways (int): Number of ways to match the rest of the group, counted up to a limit.
    """

    unlimited: int = 0
    ways: int = 1

    @property
    def is_slow(self) -> bool:
        """Return whether the group may be slow."""
        return self.unlimited > MAX_REPETITIONS or self.ways > MAX_WAYS

    def join(self, other: "_Group") -> "_Group":
        """Return the group with another one after it."""
        ways = min(self.ways * other.ways, 2 * MAX_WAYS)
        return _Group(self.unlimited + other.unlimited, ways)

    def repeat(self, lowest: int, highest: int) -> "_Group | None":
        """Return the group repeated; None if it varies and is repeated too often."""
        varies = self.unlimited > 0 or self.ways > 1
        if highest > _MANY:
            return None if varies else _Group(1, 1)
        times = max(highest, 1)
        ways = self.ways**times * (times - min(lowest, times) + 1)
        return _Group(self.unlimited * times, min(ways, 2 * MAX_WAYS))


def find_slow_part(pattern: str) -> str | None:
    """Find a part of a regular expression that may take a time beyond all bounds.

    Such parts are a repetition inside a repetition, `(a+)+`, alternatives that are repeated,
    `(a|a)*`, many repetitions, options or alternatives in a row, and syntax that may hide another
    part, such as `(?x)` and `(?#`. Some expressions with such a part are fast.

    pattern (str): The expression, in the syntax of Python or of Oniguruma.
    RETURNS (str | None): The part; None if there is none.
    """
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
            f"{name!r} has a regular expression that may take a time beyond all bounds, because of "
            f"{slow!r:.100}. Write it without"
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
            if kind == "unknown":
                return match.group()
            if kind == "repeat":
                repeated = self.last.repeat(*_read_limits(match.group()))
                if repeated is None:
                    return self.pattern[self.last_start : match.end()]
                self.last = repeated
                continue
            if not self._join_last():
                return self.pattern[: match.start()]
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
        if not self._join_last():
            return self.pattern
        return None

    def _join_last(self) -> bool:
        """Join the item before to its branch; return False if the branch may be slow."""
        group = self.opened[-1]
        branch = group.branch.join(self.last)
        self.opened[-1] = group._replace(branch=branch)
        self.last = _Group()
        return not branch.is_slow


def _read_limits(quantifier: str) -> tuple[int, int]:
    """Return the minimum and the maximum number of repetitions."""
    many = _MANY + 1
    simple = {"*": (0, many), "+": (1, many), "?": (0, 1)}
    if quantifier[0] in simple:
        return simple[quantifier[0]]
    lowest, comma, highest = quantifier.strip("{}").partition(",")
    minimum = _read_number(lowest)
    if not comma:
        return minimum, minimum
    if not highest:
        return minimum, many
    return minimum, _read_number(highest)


def _read_number(digits: str) -> int:
    """Read a number, of which only the first digits count if it is long."""
    return int(digits.lstrip("0")[:6] or 0)


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

"""Regular expressions from a file that is not trusted: those that may take exponential time."""

import re
from typing import NamedTuple

# Repetitions without a limit in a row: the time grows with this power of the length of a word.
MAX_REPETITIONS = 4
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
    varies (bool): Whether there are several ways to match the group: a repetition of variable
        length, or alternatives.
    """

    unlimited: int = 0
    varies: bool = False


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


class _Scanner:
    def __init__(self, pattern: str):
        self.pattern = pattern
        # The groups that are open: the state so far, the maximum of the branches before, the start.
        self.opened: list[tuple[_Group, int, int]] = [(_Group(), 0, 0)]
        self.last = _Group()  # the item before, to which a repetition applies
        self.last_start = 0

    def scan(self) -> str | None:
        for match in _TOKEN.finditer(self.pattern):
            kind = match.lastgroup
            if kind == "open":
                self.opened.append((_Group(), 0, match.start()))
            elif kind == "close":
                if len(self.opened) == 1:
                    return match.group()
                self._close()
            elif kind == "branch":
                group, before, start = self.opened[-1]
                self.opened[-1] = _Group(0, True), max(before, group.unlimited), start
            elif kind == "repeat":
                if not self._repeat(match.group()):
                    return self.pattern[self.last_start : match.end()]
            else:
                self.last, self.last_start = _Group(), match.start()
        return None

    def _close(self) -> None:
        group, before, start = self.opened.pop()
        self.last = _Group(max(before, group.unlimited), group.varies)
        self.last_start = start
        # A group that is not repeated adds its repetitions to the group around it.
        self._add(self.last.unlimited, varies=group.varies)

    def _repeat(self, quantifier: str) -> bool:
        """Take a repetition of the item before; return False if it may be slow."""
        lowest, highest = _read_limits(quantifier)
        if highest > 1 and self.last.varies:
            return False
        self._add(int(highest > _MANY), varies=lowest != highest)
        self.last = _Group(self.last.unlimited + int(highest > _MANY), True)
        return self.opened[-1][0].unlimited <= MAX_REPETITIONS

    def _add(self, unlimited: int, *, varies: bool) -> None:
        group, before, start = self.opened[-1]
        group = _Group(group.unlimited + unlimited, group.varies or varies)
        self.opened[-1] = group, before, start


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

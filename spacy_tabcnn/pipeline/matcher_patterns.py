"""The check of patterns of words, which rulers save: none may take a time beyond all bounds.

spaCy's matcher follows each way to match a pattern by itself, even where many ways come to the same
match. In a text of n words, two repetitions without a limit have n**2 / 2 ways from each word,
three have n**3 / 6, and k words that may be absent have 2**k.
"""

from collections.abc import Iterable, Mapping

from ..runtime.patterns import check_expression
from ..runtime.plain_data import AdvisedError, read_json, read_msgpack

_MAX_LIMIT = 100  # words in {n}, {n,} or {n,m}
# Measured on texts of 200 words: two repetitions of any word take 0.4 s, three take 17 s; 10 words
# that may be absent take 0.03 s, 20 take 18 s.
_MAX_WAYS = 2_000_000
_WAYS_OF_ANY = 300  # a repetition without a limit of any word
_WAYS_OF_SOME = 50  # of words that meet a condition, of which few follow each other
_WAYS_OF_OPTIONAL = 3
_REPETITIONS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
# Conditions that words seldom meet in a row.
_RARE = (
    "IS_BRACKET",
    "IS_CURRENCY",
    "IS_DIGIT",
    "IS_LEFT_PUNCT",
    "IS_PUNCT",
    "IS_QUOTE",
    "IS_RIGHT_PUNCT",
    "IS_SPACE",
    "IS_STOP",
    "IS_TITLE",
    "IS_UPPER",
    "LIKE_EMAIL",
    "LIKE_NUM",
    "LIKE_URL",
)


def check_patterns(content: bytes) -> None:
    """Check the patterns of words in a file.

    content (bytes): The file, in JSON, JSON lines or msgpack, which is not trusted.
    RAISES (ValueError): If an expression or a repetition may be slow, or the file is damaged.
    """
    try:
        values = [read_msgpack(content)]
    except ValueError:
        values = [*map(read_json, _split_json(content))]
    while values:
        value = values.pop()
        if isinstance(value, list):
            values.extend(value)
            _check_repetitions([item for item in value if isinstance(item, dict)])
        elif isinstance(value, dict):
            values.extend(value.values())
            _check_expressions(value)
        elif isinstance(value, bytes):
            values.extend(_read_nested(value))


def _split_json(content: bytes) -> list[bytes]:
    """Return a JSON file as one value, or as its lines."""
    try:
        read_json(content)
    except ValueError:
        return [*filter(None, map(bytes.strip, content.splitlines()))]
    return [content]


def _read_nested(content: bytes) -> list[object]:
    """Read bytes that may be msgpack."""
    try:
        return [read_msgpack(content)]
    except ValueError:
        return []


def _check_expressions(conditions: Mapping[object, object]) -> None:
    """Check the regular expressions of a condition: a text, or texts in IN and the like."""
    values = []
    for key, value in conditions.items():
        # spaCy takes names in any case.
        if isinstance(key, str) and key.upper() == "REGEX":
            values.append(value)
    while values:
        value = values.pop()
        if isinstance(value, str):
            check_expression(value, "REGEX")
        elif isinstance(value, list):
            values.extend(value)
        elif isinstance(value, dict):
            values.extend(value.values())


def _check_repetitions(pattern: Iterable[Mapping[object, object]]) -> None:
    """Check that spaCy's matcher has few ways to match a list of words."""
    ways = 1
    for word in pattern:
        conditions = {key.upper(): value for key, value in word.items() if isinstance(key, str)}
        operator = conditions.pop("OP", "1")
        ways *= _count_ways(operator, conditions)
        if ways > _MAX_WAYS:
            raise AdvisedError(
                f"it has a pattern of words that may take a time beyond all bounds, with too many "
                f"repetitions up to {operator!r:.100}. Use at most two repetitions without a limit "
                "('*', '+' or '{n,}') of any word, or three of words with a condition such as a "
                "text, and at most ten words that may be absent ('?' or '{n,m}')"
            )


def _count_ways(operator: object, conditions: Mapping[str, object]) -> int:
    lowest, highest = _read_limits(operator)
    if max(lowest, highest or 0) > _MAX_LIMIT:
        raise AdvisedError(
            f"it has a pattern of words with {operator!r:.100}. Use limits up to {_MAX_LIMIT}"
        )
    if highest is not None:
        return _WAYS_OF_OPTIONAL ** max(highest - lowest, 0)
    if any(map(_is_rare, conditions, conditions.values())):
        return _WAYS_OF_SOME
    return _WAYS_OF_ANY


def _read_limits(operator: object) -> tuple[int, int | None]:
    """Return the minimum and the maximum number of words, as spaCy reads them."""
    if not isinstance(operator, str):
        return 1, 1  # spaCy refuses it
    if operator in _REPETITIONS:
        return _REPETITIONS[operator]
    lowest, comma, highest = operator.removeprefix("{").removesuffix("}").partition(",")
    try:
        minimum = int(lowest or 0)
        if not comma:
            return minimum, minimum
        return minimum, int(highest) if highest else None
    except ValueError:
        return 1, 1  # spaCy refuses it


def _is_rare(name: str, value: object) -> bool:
    if isinstance(value, dict):
        return any(isinstance(key, str) and key.upper() == "IN" for key in value)
    return isinstance(value, str) or (value is True and name in _RARE)

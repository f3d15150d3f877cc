"""Labels that look like typing errors of other labels."""

from collections.abc import Mapping

# A label is rare next to another one if the other one is at least so many times as frequent.
_RATIO = 5
# Labels of fewer letters than this differ by one letter without being typing errors: GPE and GSP.
_MIN_LENGTH = 4
# Labels of at least so many letters may have two typing errors, shorter ones have one.
_LONG = 12
_JOINING = dict.fromkeys(map(ord, " \t\u00a0_-./:"))


def find_typos(counts: Mapping[str, int], others: Mapping[str, int]) -> dict[str, str]:
    """Find labels that look like typing errors of more frequent labels.

    Two labels are alike if they differ only in case and in the characters that join words, for
    example "Work_For" and "Work_for". They are also alike if one of them is rare, and a few letters
    were added, left out, replaced or swapped with a neighbour, for example "Persn" and "Person".

    counts (Mapping[str, int]): The labels that may be typing errors, with their numbers.
    others (Mapping[str, int]): The labels that may be meant, with their numbers.
    RETURNS (dict[str, str]): The label that is probably meant for each label with an error.
    """
    found = {}
    for label, count in counts.items():
        meant = ""
        for other, frequency in sorted(others.items(), key=_most_frequent_first):
            if label != other and not meant and _is_typo(label, count, other, frequency):
                meant = other
        if meant:
            found[label] = meant
    return found


def count_edits(text: str, other: str) -> int:
    """Count the edits that turn one text into another.

    An edit adds, leaves out or replaces a letter, or swaps it with its neighbour: the restricted
    Damerau-Levenshtein distance.

    text (str): A text.
    other (str): Another text.
    RETURNS (int): The minimum number of edits. For example, "Persno" and "Person" have 1.
    """
    before_previous: list[int] = []
    previous = list(range(len(other) + 1))
    for i, letter in enumerate(text, 1):
        current = [i]
        for j, letter_of_other in enumerate(other, 1):
            edits = min(
                previous[j] + 1, current[-1] + 1, previous[j - 1] + (letter != letter_of_other)
            )
            if i > 1 and j > 1 and text[i - 2 : i] == other[j - 2 : j][::-1]:
                edits = min(edits, before_previous[j - 2] + 1)
            current.append(edits)
        before_previous, previous = previous, current
    return previous[-1]


def _most_frequent_first(item: tuple[str, int]) -> tuple[int, str]:
    label, frequency = item
    return -frequency, label


def _is_typo(label: str, count: int, other: str, frequency: int) -> bool:
    """Check whether a label is a typing error of another label."""
    one, two = _get_letters(label), _get_letters(other)
    if one == two and one:
        return (count, other) < (frequency, label)
    if frequency < _RATIO * max(count, 1) or min(len(one), len(two)) < _MIN_LENGTH:
        return False
    if _differ_in_numbers(label, other):
        return False
    n_errors = 1 + (min(len(one), len(two)) >= _LONG)
    return count_edits(one, two) <= n_errors


def _get_letters(label: str) -> str:
    """Return a label in lower case without the characters that join words."""
    return label.casefold().translate(_JOINING)


def _differ_in_numbers(label: str, other: str) -> bool:
    """Check whether two labels number things, as "Group1" and "Group2"."""
    return "".join(filter(str.isdigit, label)) != "".join(filter(str.isdigit, other))

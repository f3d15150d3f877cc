"""The differences between the systems of a layer study, and their order."""

from collections.abc import Iterable, Sequence
from itertools import combinations, pairwise, product
from typing import NamedTuple

from spacy_tabcnn.evaluation.significance import Comparison, paired_bootstrap

from .grid import STATES, RunGroup
from .results import MEASURES, Study, gather_counts, sort_systems, summarise_study

# The systems whose order at each layer of a frozen encoder is a claim of the paper, the best first.
CLAIMED_ORDER = ("TabERT-CNN", "TabERT", "SpERT")


class Difference(NamedTuple):
    """The comparison of two systems in one measure, with the same layer and state of the encoder.

    first (str): The first system, which the paper names first.
    second (str): The second system.
    frozen (bool): Whether the encoder is frozen.
    layer (int): The encoder layer.
    measure (str): "NER", "RE" or "RE+".
    comparison (Comparison): The difference in micro F1 and its interval.
    """

    first: str
    second: str
    frozen: bool
    layer: int
    measure: str
    comparison: Comparison

    @property
    def sign(self) -> int:
        """1 if the whole confidence interval is above 0, -1 if it is below, 0 if it holds 0."""
        return int(self.comparison.low > 0) - int(self.comparison.high < 0)


def compare_systems(study: Study) -> list[Difference]:
    """Compare each pair of systems of a study at each layer that both have.

    study (Study): A layer study.
    RETURNS (list[Difference]): The differences in NER, RE and RE+.
    """
    groups = summarise_study(study, "NER").keys()
    systems = sort_systems(group.system for group in groups)
    layers = sorted({group.layer for group in groups if group.layer is not None})
    differences = []
    for (first, second), frozen, layer in product(combinations(systems, 2), (True, False), layers):
        pair = RunGroup(first, frozen, layer), RunGroup(second, frozen, layer)
        if groups >= set(pair):
            for measure in MEASURES:
                comparison = _compare_groups(study, *pair, measure)
                differences.append(Difference(first, second, frozen, layer, measure, comparison))
    return differences


def _compare_groups(study: Study, first: RunGroup, second: RunGroup, measure: str) -> Comparison:
    return paired_bootstrap(
        gather_counts(study, first, measure), gather_counts(study, second, measure)
    )


def describe_order(differences: Sequence[Difference]) -> list[str]:
    """Describe in words which system is ahead, and at how many layers the paper's claim holds.

    differences (Sequence[Difference]): See `compare_systems`.
    RETURNS (list[str]): Sentences without a full stop, for each state of the encoder.
    Source: the paper's section 3.2. It claims TabERT-CNN > TabERT > SpERT for a frozen encoder.
    """
    lines = []
    for frozen in (True, False):
        here = [difference for difference in differences if difference.frozen == frozen]
        if _list_systems(here).issuperset(CLAIMED_ORDER):
            lines.append(_describe_claim(frozen, here))
        lines += map(_describe_pair, _group_by_pair(here))
    return lines


def _group_by_pair(differences: Iterable[Difference]) -> Iterable[list[Difference]]:
    """Group the differences of the same systems in the same measure."""
    groups: dict[tuple[str, str, str], list[Difference]] = {}
    for difference in differences:
        key = (difference.first, difference.second, difference.measure)
        groups.setdefault(key, []).append(difference)
    return groups.values()


def _list_systems(differences: Iterable[Difference]) -> set[str]:
    systems = set()
    for difference in differences:
        systems |= {difference.first, difference.second}
    return systems


def _describe_claim(frozen: bool, differences: Sequence[Difference]) -> str:
    """Count the layers at which the claim holds: each system is ahead of the next one."""
    counts = []
    for measure in MEASURES:
        n_held, n_layers = _count_ordered_layers(measure, differences)
        counts.append(f"{n_held} of {n_layers} layers in {measure}")
    order = " > ".join(CLAIMED_ORDER)
    return f"Encoder {STATES[frozen]}: {order}, by 95 % intervals, at {', '.join(counts)}"


def _count_ordered_layers(measure: str, differences: Sequence[Difference]) -> tuple[int, int]:
    """Count the layers at which the claim holds, and the layers that all its systems have."""
    neighbours = list(pairwise(CLAIMED_ORDER))
    signs: dict[int, list[int]] = {}
    for difference in differences:
        pair = difference.first, difference.second
        if difference.measure == measure and pair in neighbours:
            signs.setdefault(difference.layer, []).append(difference.sign)
    n_held = n_layers = 0
    for found in signs.values():
        if len(found) == len(neighbours):
            n_layers += 1
            n_held += min(found) > 0
    return n_held, n_layers


def _describe_pair(differences: Sequence[Difference]) -> str:
    """Describe at which layers one of two systems is ahead of the other."""
    first, second, frozen, _, measure, _ = differences[0]
    parts = []
    for sign, verb in ((1, "ahead"), (-1, "behind"), (0, "not told apart")):
        those = [difference for difference in differences if difference.sign == sign]
        if those:
            part = f"{verb} at {_name_layers(those, of=len(differences))}"
            if sign:
                part += f" by {_name_sizes(those)} points"
            parts.append(part)
    return f"Encoder {STATES[frozen]}, {measure}, {first} against {second}: {'; '.join(parts)}"


def _name_sizes(differences: Sequence[Difference]) -> str:
    sizes = sorted(100 * abs(difference.comparison.difference) for difference in differences)
    if len(sizes) == 1:
        return f"{sizes[0]:.1f}"
    return f"{sizes[0]:.1f} to {sizes[-1]:.1f}"


def _name_layers(differences: Sequence[Difference], *, of: int) -> str:
    names = [str(difference.layer) for difference in differences]
    if len(names) == 1:
        return f"layer {names[0]}"
    if len(names) == of:
        return f"all {of} layers"
    return f"layers {', '.join(names)}"

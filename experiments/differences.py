"""How the systems of a layer study differ, and whether they come in the paper's order."""

from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import NamedTuple

from spacy_tabcnn.evaluation.significance import Comparison, paired_bootstrap

from .results import MEASURES, Study, gather_counts, sort_systems, summarise_study

# The state of the encoder in words.
STATES = {True: "frozen", False: "updated", None: "as configured"}


class Difference(NamedTuple):
    """Two systems with the same layer of the same encoder, frozen or not, compared in one measure."""

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
    """Compare each two systems of a study wherever both have been run.

    study (Study): A layer study.
    RETURNS (list[Difference]): The differences in NER, RE and RE+. The first system of each is the one that the paper
        names first.
    """
    found = summarise_study(study.results, MEASURES["NER"])
    layers = sorted({layer for _, _, layer in found if layer is not None})
    return [
        Difference(
            *pair,
            frozen,
            layer,
            measure,
            paired_bootstrap(
                *(
                    gather_counts(study.results, (system, frozen, layer), MEASURES[measure])
                    for system in pair
                )
            ),
        )
        for pair in combinations(sort_systems(system for system, _, _ in found), 2)
        for frozen in (True, False)
        for layer in layers
        if all((system, frozen, layer) in found for system in pair)
        for measure in MEASURES
    ]


def describe_order(differences: Sequence[Difference]) -> list[str]:
    """Say in words which system is ahead of which, and at how many layers all come in the paper's order.

    differences (Sequence[Difference]): See `compare_systems`.
    RETURNS (list[str]): Sentences without a full stop, for each state of the encoder.
    Source: the paper's section 3.2, which claims TabERT-CNN > TabERT > SpERT for a frozen encoder.
    """
    lines = []
    for frozen in (True, False):
        here = [difference for difference in differences if difference.frozen == frozen]
        systems = sort_systems(
            name for difference in here for name in (difference.first, difference.second)
        )
        if len(systems) > 2:
            lines.append(_describe_chain(systems, frozen, here))
        for pair in combinations(systems, 2):
            for measure in MEASURES:
                those = [d for d in here if (d.first, d.second, d.measure) == (*pair, measure)]
                if those:
                    lines.append(_describe_pair(those))
    return lines


def _describe_chain(systems: Sequence[str], frozen: bool, differences: Sequence[Difference]) -> str:
    """Count the layers at which each system is ahead of the next one."""
    neighbours = list(pairwise(systems))
    counts = []
    for measure in MEASURES:
        signs: dict[int, list[int]] = {}
        for d in differences:
            if d.measure == measure and (d.first, d.second) in neighbours:
                signs.setdefault(d.layer, []).append(d.sign)
        whole = [layer for layer, found in signs.items() if len(found) == len(neighbours)]
        n_held = sum(all(sign > 0 for sign in signs[layer]) for layer in whole)
        counts.append(f"{n_held} of {len(whole)} layers in {measure}")
    return f"Encoder {STATES[frozen]}: {' > '.join(systems)}, by 95 % intervals, at {', '.join(counts)}"


def _describe_pair(differences: Sequence[Difference]) -> str:
    """Sort the layers of two systems by which of them is ahead."""
    first, second, frozen, _, measure, _ = differences[0]
    parts = []
    for sign, verb in ((1, "ahead"), (-1, "behind"), (0, "not told apart")):
        those = [d for d in differences if d.sign == sign]
        if those:
            sizes = sorted(100 * abs(d.comparison.difference) for d in those)
            points = f"{sizes[0]:.1f}" if len(sizes) == 1 else f"{sizes[0]:.1f} to {sizes[-1]:.1f}"
            by = f" by {points} points" if sign else ""
            parts.append(f"{verb} at {_name_layers(those, of=len(differences))}{by}")
    return f"Encoder {STATES[frozen]}, {measure}, {first} against {second}: {'; '.join(parts)}"


def _name_layers(differences: Sequence[Difference], *, of: int) -> str:
    names = [str(difference.layer) for difference in differences]
    if len(names) == 1:
        return f"layer {names[0]}"
    return f"all {of} layers" if len(names) == of else f"layers {', '.join(names)}"

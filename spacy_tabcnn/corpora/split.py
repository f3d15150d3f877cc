"""Division of a corpus into parts whose shares of each label are alike."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

from spacy.tokens import Doc

from ..relations import get_relations

# ("entity" or "relation", label).
Label: TypeAlias = tuple[str, str]
LabelCounts: TypeAlias = Counter[Label]
# Documents that stay together, by their positions in the corpus.
_Group: TypeAlias = list[int]


def split_documents(docs: Sequence[Doc], shares: Sequence[float], *, seed: int = 0) -> list[int]:
    """Divide documents into parts, each with its share of the documents and of each label.

    Documents with the same text stay together, since a part for tests would otherwise repeat the
    part for training. Upper case and white space do not count in the comparison. Labels that few
    documents have are divided first. A document goes to the part that lacks its rarest label most
    (iterative stratification). A label that is too rare for all parts goes to the part with the
    largest share.

    docs (Sequence[Doc]): The documents.
    shares (Sequence[float]): The share of each part; they add up to 1.
    seed (int): Determines the choice among divisions that are equally good.
    RETURNS (list[int]): The part of each document.
    RAISES (ValueError): If a share is not above 0, or there are too few different documents to give
        each part one.
    Source: Sechidis, Tsoumakas and Vlahavas (2011), On the Stratification of Multi-Label Data.
    """
    if min(shares) <= 0.0 or abs(sum(shares) - 1.0) > 1e-6:
        raise ValueError(f"the shares of the parts are {list(shares)}; expected shares of a whole")
    groups = _group_by_text(docs)
    if len(groups) < len(shares):
        raise ValueError(
            f"{len(groups)} documents with different texts cannot be divided into {len(shares)} "
            "parts. Add documents, or ask for fewer parts"
        )
    random.Random(seed).shuffle(groups)
    divider = _Divider([*map(count_labels, docs)], groups, shares)
    divider.divide()
    return divider.part_of


def count_labels(doc: Doc) -> LabelCounts:
    """Count the labels of a document.

    doc (Doc): The document.
    RETURNS (Counter): Counts of entities by ("entity", label) and of relations by ("relation",
        label).
    """
    counts: LabelCounts = Counter()
    for ent in doc.ents:
        counts["entity", ent.label_] += 1
    for relation in get_relations(doc):
        counts["relation", relation.label] += 1
    return counts


def _group_by_text(docs: Sequence[Doc]) -> list[_Group]:
    groups: dict[str, _Group] = {}
    for index, doc in enumerate(docs):
        key = " ".join(doc.text.split()).casefold()
        groups.setdefault(key, []).append(index)
    return list(groups.values())


class _Divider:
    """The state of a division: what is still to be divided, and what each part still lacks."""

    def __init__(
        self,
        counts: Sequence[LabelCounts],
        groups: Sequence[_Group],
        shares: Sequence[float],
    ):
        self.groups = groups
        self.counts: list[LabelCounts] = []
        self.open: set[int] = set(range(len(groups)))
        self.remaining: LabelCounts = Counter()
        for group in groups:
            total: LabelCounts = Counter()
            for index in group:
                total.update(counts[index])
            self.counts.append(total)
            self.remaining.update(total)
        self.shares = shares
        self.rooms = _divide_number(len(counts), shares)
        self.sizes = [0] * len(shares)
        self.lacks: list[dict[Label, float]] = []
        for share in shares:
            lack = {}
            for label, count in self.remaining.items():
                lack[label] = share * count
            self.lacks.append(lack)
        self.part_of = [0] * len(counts)

    def divide(self) -> None:
        """Assign each group to a part, the rarest label first, and groups without labels last."""
        while self.open:
            label = self._find_rarest()
            for number in self._find_open(label):
                self._assign(number, self._choose(number, label))

    def _find_rarest(self) -> Label | None:
        found = +self.remaining
        if not found:
            return None
        return min(found, key=lambda label: (found[label], label))

    def _find_open(self, label: Label | None) -> list[int]:
        """Return the open groups with a label, those with the most instances first."""
        found = []
        for number in sorted(self.open):
            if label is None or self.counts[number][label]:
                found.append(number)
        if label is None:
            return found
        return sorted(found, key=lambda number: -self.counts[number][label])

    def _choose(self, number: int, label: Label | None) -> int:
        size = len(self.groups[number])
        is_last_chance = len(self.open) <= self.sizes.count(0)

        def rank(part: int) -> tuple[bool, bool, float, float, float]:
            lack = 0.0
            if label is not None:
                lack = self.lacks[part][label]
            is_needed = is_last_chance and not self.sizes[part]
            has_room = self.rooms[part] >= size
            return is_needed, has_room, lack, self.rooms[part], self.shares[part]

        return max(range(len(self.shares)), key=rank)

    def _assign(self, number: int, part: int) -> None:
        self.open.remove(number)
        self.remaining.subtract(self.counts[number])
        for label, count in self.counts[number].items():
            self.lacks[part][label] -= count
        self.rooms[part] -= len(self.groups[number])
        self.sizes[part] += len(self.groups[number])
        for index in self.groups[number]:
            self.part_of[index] = part


def _divide_number(n_docs: int, shares: Sequence[float]) -> list[int]:
    """Return the number of documents of each part, at least one, which add up to all of them."""
    largest = max(range(len(shares)), key=lambda part: shares[part])
    rooms = []
    for share in shares:
        rooms.append(max(1, round(share * n_docs)))
    rooms[largest] += n_docs - sum(rooms)
    return rooms

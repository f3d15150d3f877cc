"""The label scheme: every conversion between labels and the indices of the table's logits, and nowhere else."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

OUTSIDE = 0  # index of the tag "O"
NO_RELATION = 0  # index of the relation label "none"
MISSING = -1  # label of whatever is not annotated
_PREFIXES = "BILU"


class TagRules(NamedTuple):
    """BILOU as data: what holds for each tag, and for each tag (second axis) after each other (first axis).

    may_start (NDArray): Whether a sentence may start with a tag, bool (tags,).
    may_follow (NDArray): Whether a tag may be followed by a tag, bool (tags, tags).
    may_end (NDArray): Whether a sentence may end with a tag, bool (tags,).
    in_entity (NDArray): Whether the word of a tag belongs to an entity, bool (tags,).
    continues (NDArray): Whether a tag is followed by one of the same entity, bool (tags, tags). A tag in an entity that
        does not continue that of the tag before begins one.
    """

    may_start: NDArray[np.bool_]
    may_follow: NDArray[np.bool_]
    may_end: NDArray[np.bool_]
    in_entity: NDArray[np.bool_]
    continues: NDArray[np.bool_]


def tag_rules(n_tags: int) -> TagRules:
    """Tell the rules of the tags. They depend on the number of entity types only.

    n_tags (int): Number of tags |E|; see `LabelScheme.n_tags`.
    RETURNS (TagRules): The rules.
    """
    index = np.arange(n_tags)
    types, prefixes = np.divmod(index - 1, len(_PREFIXES))
    outside = index == OUTSIDE
    opens = outside | (prefixes == 0) | (prefixes == 3)
    closes = outside | (prefixes == 2) | (prefixes == 3)
    continues = (~opens)[None, :] & (~closes)[:, None] & (types[:, None] == types[None, :])
    return TagRules(
        opens, (closes[:, None] & opens[None, :]) | continues, closes, ~outside, continues
    )


@dataclass
class LabelScheme:
    """Entity types and relation types of a component, in the order of their logits.

    Tags are BILOU (paper, section 2.1): "O", then B, I, L and U of each entity type. Relation labels are directed:
    "none", then for each type the label of a head that precedes its tail, and of a head that follows it.

    entities (list[str]): Entity types.
    relations (dict[str, list[tuple[str, str]]]): Relation types, each with the pairs (head type, tail type) it may
        join. No pairs means any pair.
    """

    entities: list[str] = field(default_factory=list)
    relations: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "LabelScheme":
        """Rebuild a scheme from `to_dict`'s output, or from a plain list of relation types.

        data (Mapping): {"entities": [type], "relations": {type: [[head type, tail type]]} or [type]}.
        RETURNS (LabelScheme): The scheme.
        RAISES (ValueError): If the data has another form.
        """
        try:
            entities, relations = _check_list(data["entities"]), data["relations"]
            if not isinstance(relations, Mapping):
                relations = dict.fromkeys(_check_list(relations), ())
            scheme = cls()
            for label in entities:
                scheme.add_entity(label)
            for label, pairs in relations.items():
                scheme.add_relation(
                    label, [(head, tail) for head, tail in map(_check_list, _check_list(pairs))]
                )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f'Labels of the relation table: {data!r} is not of the form {{"entities": ["PER", "LOC"], '
                '"relations": {"LiveIn": [["PER", "LOC"]]}}. Write them with `spacy init labels`.'
            ) from error
        return scheme

    def to_dict(self) -> dict[str, Any]:
        """RETURNS (dict): The scheme as plain data for JSON and msgpack; see `from_dict`."""
        return {
            "entities": list(self.entities),
            "relations": {
                label: [list(pair) for pair in pairs] for label, pairs in self.relations.items()
            },
        }

    def add_entity(self, label: str) -> bool:
        """Add an entity type.

        label (str): The type.
        RETURNS (bool): False if the scheme had it.
        RAISES (ValueError): If it is not a non-empty string.
        """
        _check_label(label)
        if label in self.entities:
            return False
        self.entities.append(label)
        return True

    def add_relation(self, label: str, pairs: Iterable[tuple[str, str]] = ()) -> bool:
        """Add a relation type, or more pairs of entity types to it.

        label (str): The type.
        pairs (Iterable[tuple[str, str]]): Pairs (head type, tail type) that it may join.
        RETURNS (bool): False if the scheme had the type.
        RAISES (ValueError): If it is not a non-empty string.
        """
        _check_label(label)
        is_new = label not in self.relations
        known = self.relations.setdefault(label, [])
        known.extend(pair for pair in dict.fromkeys(pairs) if pair not in known)
        return is_new

    @property
    def n_tags(self) -> int:
        """RETURNS (int): Number of tags |E|."""
        return 1 + len(_PREFIXES) * len(self.entities)

    @property
    def n_relations(self) -> int:
        """RETURNS (int): Number of directed relation labels |R|, "none" included."""
        return 1 + 2 * len(self.relations)

    def span_tags(self, label: str, length: int) -> list[int]:
        """Tag an entity.

        label (str): Its type.
        length (int): Its number of words.
        RETURNS (list[int]): A tag index for each word.
        """
        begin, inside, last, unit = range(first := self._first_tag(label), first + len(_PREFIXES))
        return [unit] if length == 1 else [begin, *[inside] * (length - 2), last]

    def tag_name(self, index: int) -> str:
        """Name a tag.

        index (int): Its index.
        RETURNS (str): "O", or the prefix and the entity type, as "B-PER".
        """
        if index == OUTSIDE:
            return "O"
        label, prefix = divmod(index - 1, len(_PREFIXES))
        return f"{_PREFIXES[prefix]}-{self.entities[label]}"

    def tagged_spans(self, tags: NDArray[np.int64]) -> list[tuple[int, int, str]]:
        """Read entities off a valid tag sequence; the inverse of `span_tags`.

        tags (NDArray): Tag indices of the words of a sentence, (n,).
        RETURNS (list[tuple[int, int, str]]): (start, end, type) of each entity, `end` exclusive, in text order.
        """
        types, prefixes = np.divmod(tags - 1, len(_PREFIXES))
        tagged = tags != OUTSIDE
        starts = np.flatnonzero(tagged & ((prefixes == 0) | (prefixes == 3)))
        ends = np.flatnonzero(tagged & ((prefixes == 2) | (prefixes == 3))) + 1
        return [
            (int(start), int(end), self.entities[types[start]])
            for start, end in zip(starts, ends, strict=True)
        ]

    def relation_index(self, label: str, *, head_first: bool) -> int:
        """Find the index of a directed relation label.

        label (str): The relation type.
        head_first (bool): Whether the head precedes the tail in the text.
        RETURNS (int): Index of its logit.
        """
        return 1 + 2 * list(self.relations).index(label) + (0 if head_first else 1)

    def relation_label(self, index: int) -> tuple[str, bool]:
        """Name a directed relation label; the inverse of `relation_index`.

        index (int): Index of a logit other than "none".
        RETURNS (tuple[str, bool]): The relation type, and whether the head precedes the tail.
        """
        label, direction = divmod(index - 1, 2)
        return list(self.relations)[label], direction == 0

    def tag_transitions(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
        """Tell which tag sequences are valid BILOU.

        RETURNS (tuple): Whether a sentence may start with each tag (tags,), whether each tag may be followed by each
            tag (tags, tags), and whether a sentence may end with each tag (tags,).
        """
        return tag_rules(self.n_tags)[:3]

    def allowed_relations(self) -> NDArray[np.bool_]:
        """Tell which relation labels the types of two entities allow.

        RETURNS (NDArray): bool (type of the left entity, type of the right entity, relation labels); "none" is
            always allowed. The last index of a type stands for all that are unknown.
        """
        n_types = len(self.entities) + 1
        allowed = np.ones((n_types, n_types, self.n_relations), dtype=bool)
        position = {label: i for i, label in enumerate(self.entities)}
        for label, pairs in self.relations.items():
            if not pairs:
                continue
            for head_first in (True, False):
                mask = np.zeros((n_types, n_types), dtype=bool)
                for head, tail in pairs:
                    if head in position and tail in position:
                        left, right = (head, tail) if head_first else (tail, head)
                        mask[position[left], position[right]] = True
                allowed[:, :, self.relation_index(label, head_first=head_first)] = mask
        return allowed

    def _first_tag(self, label: str) -> int:
        return 1 + len(_PREFIXES) * self.entities.index(label)


def _check_label(label: str) -> None:
    if not isinstance(label, str) or not label:
        raise ValueError(f"Labels of the relation table: {label!r} is not a non-empty string")


def _check_list(value: Any) -> Any:
    # The letters of a string would pass as labels.
    if isinstance(value, str):
        raise TypeError(f"{value!r} is not a list")
    return value

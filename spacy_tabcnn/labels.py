"""The label scheme: every conversion between labels and the indices of logits, and nowhere else."""

import functools
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias, TypedDict

import numpy as np
from numpy.typing import NDArray

OUTSIDE = 0  # index of the tag "O"
NO_RELATION = 0  # index of the relation label "none"
MISSING = -1  # label of a word or a cell that is not annotated
_PREFIXES = "BILU"

Bools: TypeAlias = NDArray[np.bool_]
Ints: TypeAlias = NDArray[np.int64]


class LabelData(TypedDict):
    """The labels of a component as plain data, for JSON and msgpack."""

    entities: list[str]
    relations: dict[str, list[list[str]]]


class TagRules(NamedTuple):
    """BILOU as arrays. The first axis of a matrix is the tag before, the second the tag after.

    may_start (NDArray): Whether a sentence may start with a tag, bool (tags,).
    may_follow (NDArray): Whether a tag may follow a tag, bool (tags, tags).
    may_end (NDArray): Whether a sentence may end with a tag, bool (tags,).
    in_entity (NDArray): Whether the word of a tag belongs to an entity, bool (tags,).
    continues (NDArray): Whether a tag continues the entity of the tag before, bool (tags, tags).
        A tag in an entity that does not continue the tag before begins an entity.
    """

    may_start: Bools
    may_follow: Bools
    may_end: Bools
    in_entity: Bools
    continues: Bools


def count_entity_types(n_tags: int) -> int:
    """Return the number of entity types.

    n_tags (int): Number of tags |E|; see `LabelScheme.n_tags`.
    RETURNS (int): The number of types that have so many tags.
    """
    return (n_tags - 1) // len(_PREFIXES)


def count_relation_types(n_relations: int) -> int:
    """Return the number of relation types.

    n_relations (int): Number of directed labels |R|; see `LabelScheme.n_relations`.
    RETURNS (int): The number of types that have so many labels.
    """
    return (n_relations - 1) // 2


@functools.cache
def tag_rules(n_tags: int) -> TagRules:
    """Return the rules of the tags. They depend on the number of entity types only.

    n_tags (int): Number of tags |E|; see `LabelScheme.n_tags`.
    RETURNS (TagRules): The rules. Do not change the arrays: all callers share them.
    """
    index = np.arange(n_tags)
    types, prefixes = np.divmod(index - 1, len(_PREFIXES))
    outside = index == OUTSIDE
    opens = outside | (prefixes == 0) | (prefixes == 3)
    closes = outside | (prefixes == 2) | (prefixes == 3)
    same_type = types[:, None] == types[None, :]
    continues = (~opens)[None, :] & (~closes)[:, None] & same_type
    may_follow = (closes[:, None] & opens[None, :]) | continues
    return TagRules(opens, may_follow, closes, ~outside, continues)


class TypedSpans(NamedTuple):
    """Spans of words with a type each, int64 (spans,).

    starts (NDArray): First word of each span.
    ends (NDArray): Its end (exclusive).
    types (NDArray): Index of its entity type.
    """

    starts: Ints
    ends: Ints
    types: Ints


def find_spans(tags: Ints, sentence: Ints | int = 0) -> TypedSpans:
    """Find the entities that tags write out from their first to their last word.

    Other tags, such as an `I` without its `B`, belong to no entity.

    tags (NDArray): Tag index of each word, int64 (words,), negative where it is missing.
    sentence (NDArray | int): Index of the sentence of each word, (words,). No entity continues in
        the next sentence.
    RETURNS (TypedSpans): The entities, in text order.
    """
    types, prefixes = np.divmod(tags - 1, len(_PREFIXES))
    tagged = tags > OUTSIDE
    opens = tagged & ((prefixes == 0) | (prefixes == 3))
    closes = tagged & ((prefixes == 2) | (prefixes == 3))
    # A B or an I before an I or an L of the same type and sentence.
    joins = (tagged & ~closes)[:-1] & (tagged & ~opens)[1:] & (np.diff(types) == 0)
    joins &= np.diff(np.broadcast_to(sentence, tags.shape)) == 0
    continues = np.append(False, joins)[: len(tags)]
    starts = np.flatnonzero(~continues)
    ends = np.append(starts, len(tags))[1:]
    is_whole = opens[starts] & closes[ends - 1]
    starts, ends = starts[is_whole], ends[is_whole]
    return TypedSpans(starts, ends, types[starts])


class LabelScheme:
    """Entity types and relation types of a component, in the order of their logits.

    Tags are BILOU (paper, section 2.1): "O", then B, I, L and U of each entity type. Relation
    labels are directed: "none", then two labels for each type, first for a head that precedes its
    tail, then for a head that follows its tail.

    entities (Iterable[str]): Entity types.
    relations (Mapping[str, Iterable[tuple[str, str]]]): Relation types, each with the pairs
        (head type, tail type) that it may join. No pairs means any pair.
    """

    def __init__(
        self,
        entities: Iterable[str] = (),
        relations: Mapping[str, Iterable[tuple[str, str]]] | None = None,
    ):
        self.entities: list[str] = []
        self.relations: dict[str, list[tuple[str, str]]] = {}
        self._allowed: Bools | None = None
        for label in entities:
            self.add_entity(label)
        for label, pairs in (relations or {}).items():
            self.add_relation(label, pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelScheme) and self.to_dict() == other.to_dict()

    def __repr__(self) -> str:
        return f"LabelScheme(entities={self.entities!r}, relations={self.relations!r})"

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> "LabelScheme":
        """Return the scheme that `to_dict` wrote, or a scheme from a plain list of relation types.

        data (Mapping): {"entities": [type], "relations": {type: [[head type, tail type]]}}; the
            relations may also be a list of types.
        RETURNS (LabelScheme): The scheme.
        RAISES (ValueError): If the data has another form.
        """
        try:
            entities = _check_list(data["entities"])
            scheme = cls(entities, _read_relations(data["relations"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f'Labels of the relation table: {data!r} is not of the form {{"entities": '
                '["PER", "LOC"], "relations": {"LiveIn": [["PER", "LOC"]]}}. Write them with '
                "`spacy init labels`."
            ) from error
        return scheme

    def to_dict(self) -> LabelData:
        """Return the scheme as plain data for JSON and msgpack; see `from_dict`.

        RETURNS (dict): Entity types, and relation types with their pairs.
        """
        relations = {label: [*map(list, pairs)] for label, pairs in self.relations.items()}
        return {"entities": list(self.entities), "relations": relations}

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
        self._allowed = None
        return True

    def add_relation(self, label: str, pairs: Iterable[tuple[str, str]] = ()) -> bool:
        """Add a relation type, or more pairs of entity types to it.

        A type without pairs may join any types. With its first pair, it joins this pair alone.

        label (str): The type.
        pairs (Iterable[tuple[str, str]]): Pairs (head type, tail type) that it may join.
        RETURNS (bool): False if the scheme had the type.
        RAISES (ValueError): If it is not a non-empty string.
        """
        _check_label(label)
        is_new = label not in self.relations
        known = self.relations.setdefault(label, [])
        known[:] = dict.fromkeys([*known, *pairs])
        self._allowed = None
        return is_new

    @property
    def n_tags(self) -> int:
        """Return the number of tags |E|."""
        return 1 + len(_PREFIXES) * len(self.entities)

    @property
    def n_relations(self) -> int:
        """Return the number of directed relation labels |R|, "none" included."""
        return 1 + 2 * len(self.relations)

    def span_tags(self, label: str, length: int) -> list[int]:
        """Return the tags of an entity.

        label (str): Its type.
        length (int): Its number of words.
        RETURNS (list[int]): A tag index for each word.
        """
        begin = 1 + len(_PREFIXES) * self.entities.index(label)
        inside, last, unit = begin + 1, begin + 2, begin + 3
        if length == 1:
            return [unit]
        return [begin, *[inside] * (length - 2), last]

    def tag_name(self, index: int) -> str:
        """Return the name of a tag.

        index (int): Its index.
        RETURNS (str): "O", or the prefix and the entity type, as "B-PER".
        """
        if index == OUTSIDE:
            return "O"
        label, prefix = divmod(index - 1, len(_PREFIXES))
        return f"{_PREFIXES[prefix]}-{self.entities[label]}"

    def tagged_spans(self, tags: Ints) -> list[tuple[int, int, str]]:
        """Read entities off a valid tag sequence; the inverse of `span_tags`.

        tags (NDArray): Tag indices of the words of a sentence, (n,).
        RETURNS (list[tuple[int, int, str]]): (start, end, type) of each entity, `end` exclusive,
            in text order.
        """
        starts, ends, types = find_spans(tags)
        labels = map(self.entities.__getitem__, types.tolist())
        return list(zip(starts.tolist(), ends.tolist(), labels, strict=True))

    def relation_index(self, label: str, *, head_first: bool) -> int:
        """Return the index of a directed relation label.

        label (str): The relation type.
        head_first (bool): Whether the head precedes the tail in the text.
        RETURNS (int): Index of its logit.
        """
        first = 1 + 2 * list(self.relations).index(label)
        return first + int(not head_first)

    def relation_label(self, index: int) -> tuple[str, bool]:
        """Return the relation type of a directed label; the inverse of `relation_index`.

        index (int): Index of a logit other than "none".
        RETURNS (tuple[str, bool]): The relation type, and whether the head precedes the tail.
        """
        label, direction = divmod(index - 1, 2)
        return list(self.relations)[label], direction == 0

    def allowed_relations(self) -> Bools:
        """Return the relation labels that the types of two entities allow.

        RETURNS (NDArray): bool (type of the left entity, type of the right entity, relation
            labels). "none" is always allowed. The last index of a type stands for all unknown
            types. Do not change the array: all callers share it.
        """
        if self._allowed is None:
            self._allowed = self._find_allowed()
        return self._allowed

    def _find_allowed(self) -> Bools:
        n_types = len(self.entities) + 1
        allowed = np.ones((n_types, n_types, self.n_relations), dtype=bool)
        for label, pairs in self.relations.items():
            if pairs:
                by_head = self._type_pairs(pairs)
                allowed[:, :, self.relation_index(label, head_first=True)] = by_head
                allowed[:, :, self.relation_index(label, head_first=False)] = by_head.T
        return allowed

    def _type_pairs(self, pairs: Iterable[tuple[str, str]]) -> Bools:
        """Return the pairs of known types as bool (type of the head, type of the tail)."""
        n_types = len(self.entities) + 1
        joined = np.zeros((n_types, n_types), dtype=bool)
        for head, tail in pairs:
            if head in self.entities and tail in self.entities:
                joined[self.entities.index(head), self.entities.index(tail)] = True
        return joined


def _read_relations(data: object) -> dict[str, list[tuple[str, str]]]:
    if not isinstance(data, Mapping):
        return {label: [] for label in _check_list(data)}
    relations: dict[str, list[tuple[str, str]]] = {}
    for label, pairs in data.items():
        relations[label] = []
        for pair in _check_list(pairs):
            head, tail = _check_list(pair)
            relations[label].append((head, tail))
    return relations


def _check_label(label: object) -> None:
    if not isinstance(label, str) or not label:
        raise ValueError(f"Labels of the relation table: {label!r} is not a non-empty string")


def _check_list(value: object) -> list[str]:
    # The letters of a string would pass as labels.
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"{value!r} is not a list")
    return list(value)

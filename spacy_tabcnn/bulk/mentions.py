"""The entities and relations of annotated documents, with the places where they were found."""

import hashlib
import json
import math
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeAlias, cast

from ..corpora.fields import (
    check_offsets,
    describe,
    get_field,
    get_items,
    get_label,
    get_optional,
)
from ..corpora.files import JsonValue
from .rows import Record, Row, get_format, read_rows

# The node of an entity: a name and a label.
NodeKey: TypeAlias = tuple[str, str]
_ID_LENGTH = 32


class EntityMention(NamedTuple):
    """An entity with the place where it was found.

    document (str): The document's `id`, or "row 1" and so on for a row without one.
    start (int): Its first character in the document's text.
    end (int): The character after its last one.
    text (str): Its text as it stands there.
    label (str): Its label.
    score (float | None): Its score.
    """

    document: str
    start: int
    end: int
    text: str
    label: str
    score: float | None


class RelationMention(NamedTuple):
    """A relation with the place where it was found.

    head (EntityMention): The entity at which it starts.
    tail (EntityMention): The entity to which it points.
    label (str): Its label.
    score (float | None): Its score.
    """

    head: EntityMention
    tail: EntityMention
    label: str
    score: float | None


class Node(NamedTuple):
    """An entity of the graph: all mentions with one key.

    id (str): An identifier, the same one in each run.
    text (str): The text of its first mention.
    label (str): The label of its first mention.
    mentions (list[EntityMention]): Its mentions, in the order of the file.
    """

    id: str
    text: str
    label: str
    mentions: list[EntityMention]


Mentions: TypeAlias = tuple[list[EntityMention], list[RelationMention]]
# Mentions with the same key are one node.
KeyFunction: TypeAlias = Callable[[EntityMention], NodeKey]


def normalise(text: str) -> str:
    """Make spellings of a name the same: Unicode's NFKC, without upper case, single spaces.

    text (str): A name.
    RETURNS (str): Its normal form.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def merge_by_text_and_label(mention: EntityMention) -> NodeKey:
    """Return one key for all spellings of a name that have the same label.

    mention (EntityMention): An entity.
    RETURNS (NodeKey): The normalised text and the label.
    """
    return normalise(mention.text), mention.label


def merge_by_exact_text(mention: EntityMention) -> NodeKey:
    """Return one key for equal texts that have the same label.

    mention (EntityMention): An entity.
    RETURNS (NodeKey): The text and the label.
    """
    return mention.text, mention.label


def merge_by_text(mention: EntityMention) -> NodeKey:
    """Return one key for all spellings of a name, with any label.

    mention (EntityMention): An entity.
    RETURNS (NodeKey): The normalised text and an empty label.
    """
    return normalise(mention.text), ""


def keep_apart(mention: EntityMention) -> NodeKey:
    """Return a key for each entity of each document.

    mention (EntityMention): An entity.
    RETURNS (NodeKey): The place and the label.
    """
    return f"{mention.document}:{mention.start}-{mention.end}", mention.label


# The choices of the command.
KEY_FUNCTIONS: dict[str, KeyFunction] = {
    "text-label": merge_by_text_and_label,
    "exact": merge_by_exact_text,
    "text": merge_by_text,
    "none": keep_apart,
}


def make_id(*parts: object) -> str:
    """Make an identifier of some values, the same one in each run and on each machine.

    parts (object): Strings, numbers or None.
    RETURNS (str): 32 hexadecimal digits of a SHA-256.
    """
    digest = hashlib.sha256(json.dumps(parts).encode("ascii"))
    return digest.hexdigest()[:_ID_LENGTH]


def collect_nodes(documents: Iterable[Mentions], key: KeyFunction) -> dict[NodeKey, Node]:
    """Collect the nodes of a graph.

    documents (Iterable[Mentions]): The entities and the relations of each document.
    key (KeyFunction): Mentions with the same key are one node.
    RETURNS (dict[NodeKey, Node]): The nodes by their keys, in the order of the file.
    """
    nodes: dict[NodeKey, Node] = {}
    for entities, _ in documents:
        for entity in entities:
            place = key(entity)
            if place not in nodes:
                nodes[place] = Node(make_id(*place), entity.text, entity.label, [])
            nodes[place].mentions.append(entity)
    return nodes


def get_edge_data(relation: RelationMention) -> dict[str, str | int | float]:
    """Return the data of an edge: the relation and the place where it was found.

    relation (RelationMention): The relation.
    RETURNS (dict[str, str | int | float]): `label`, `score` (omitted if there is none),
        `document`, and `start`, `end` and `text` of both arguments as `head_start` and so on.
    """
    data: dict[str, str | int | float] = {
        "label": relation.label,
        "document": relation.head.document,
    }
    if relation.score is not None:
        data["score"] = relation.score
    for role, entity in (("head", relation.head), ("tail", relation.tail)):
        data[f"{role}_start"] = entity.start
        data[f"{role}_end"] = entity.end
        data[f"{role}_text"] = entity.text
    return data


def read_mentions(
    path: Path, *, text_field: str = "text", min_score: float = 0.0
) -> Iterator[Mentions]:
    """Read the entities and relations of annotated documents.

    path (Path): A .jsonl or .parquet file that `annotate_file` wrote.
    text_field (str): The field that holds the text.
    min_score (float): Minimum score of an entity, and of a relation and both its entities.
        Mentions without a score are kept.
    YIELDS (tuple): The entities and the relations of each document.
    RAISES (ImportError): If the file is Parquet and pyarrow is missing.
    RAISES (ValueError): If a row was not made by `spacy tabcnn annotate`.
    """
    unit = "line"
    if get_format(path, formats=("jsonl", "parquet")) == "parquet":
        unit = "row"
    for number, row in enumerate(read_rows(path, text_field=text_field), 1):
        where = f"{path}, {unit} {row.line}"
        if row.reason is not None:
            raise ValueError(
                f"{where}: {row.reason}. Give a file that `spacy tabcnn annotate` wrote, and "
                "--text-field"
            )
        try:
            entities = _get_entities(row, _get_document(row.record, number), text_field, where)
            relations = _get_relations(row, entities, where)
        except ValueError as err:
            raise ValueError(f"{err}. Give a file that `spacy tabcnn annotate` wrote") from err
        yield _select(entities, relations, min_score)


def _get_document(record: Record, number: int) -> str:
    """Return the id of a document, or a name that no id has by chance."""
    identifier = record.get("id")
    if identifier is None:
        return f"row {number}"
    return str(identifier)


def _get_entities(row: Row, document: str, text_field: str, where: str) -> list[EntityMention]:
    text = row.get_text(text_field)
    entities = []
    for place, item in get_items(cast(JsonValue, row.record), "entities", "entity", where):
        start = get_field(item, "start", int, place)
        end = get_field(item, "end", int, place)
        check_offsets(start, end, len(text), "characters", place)
        label = get_label(item, "label", place)
        score = _get_score(item, place)
        entities.append(EntityMention(document, start, end, text[start:end], label, score))
    return entities


def _get_relations(
    row: Row, entities: Sequence[EntityMention], where: str
) -> list[RelationMention]:
    relations = []
    for place, item in get_items(cast(JsonValue, row.record), "relations", "relation", where):
        head = _get_argument(item, "head", entities, place)
        tail = _get_argument(item, "tail", entities, place)
        label = get_label(item, "label", place)
        relations.append(RelationMention(head, tail, label, _get_score(item, place)))
    return relations


def _get_argument(
    item: JsonValue, role: str, entities: Sequence[EntityMention], where: str
) -> EntityMention:
    """Return the entity at an end of a relation."""
    index = get_field(item, role, int, where)
    if not 0 <= index < len(entities):
        raise ValueError(
            f"{where}: the field {role!r} is {index}; expected the position of one of the "
            f"{len(entities)} entities, from 0"
        )
    return entities[index]


def _get_score(item: JsonValue, where: str) -> float | None:
    score = get_optional(item, "score")
    if score is None:
        return None
    number = math.nan
    if isinstance(score, int | float) and not isinstance(score, bool):
        with suppress(OverflowError):  # of an integer that no float can hold
            number = float(score)
    if not math.isfinite(number):
        raise ValueError(f"{where}: the field 'score' is {describe(score)}; expected a number")
    return number


def _select(
    entities: Iterable[EntityMention], relations: Iterable[RelationMention], min_score: float
) -> Mentions:
    """Keep the entities and relations that have the minimum score."""
    kept_entities = [entity for entity in entities if _has_score(entity, min_score)]
    kept_relations = []
    for relation in relations:
        mentions = (relation, relation.head, relation.tail)
        if all(_has_score(mention, min_score) for mention in mentions):
            kept_relations.append(relation)
    return kept_entities, kept_relations


def _has_score(mention: EntityMention | RelationMention, min_score: float) -> bool:
    return mention.score is None or mention.score >= min_score

"""The graph of annotated documents.

Entities with the same text and label are one node. Each relation is an edge with the place where
it was found.
"""

import csv
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

from ..corpora.fields import (
    check_offsets,
    describe,
    get_field,
    get_items,
    get_label,
    get_optional,
)
from ..corpora.files import JsonValue
from ..files import check_outputs, open_output, replace_file
from .rows import Record, Row, get_format, read_rows

if TYPE_CHECKING:
    import networkx as nx

SUFFIXES = (".graphml", ".csv")
# Characters that XML does not allow.
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# The beginnings of cells that a spreadsheet computes, and of their variants in full width.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# Columns of the CSV for one argument of a relation.
_ARGUMENT_COLUMNS = ("", "_label", "_text", "_start", "_end", "_score")


class EntityMention(NamedTuple):
    """An entity with the place where it was found.

    document (str): The document's `id`, or the number of its row, from 1.
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

    @property
    def node(self) -> tuple[str, str]:
        """Return the node of the mention.

        RETURNS (tuple[str, str]): The normalised text and the label.
        """
        return normalise(self.text), self.label


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


_Mentions: TypeAlias = tuple[list[EntityMention], list[RelationMention]]


def normalise(text: str) -> str:
    """Make spellings of a name the same: Unicode's NFKC, without upper case, single spaces.

    text (str): A name.
    RETURNS (str): Its normal form.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def read_mentions(
    path: Path, *, text_field: str = "text", min_score: float = 0.0
) -> Iterator[_Mentions]:
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


def make_graph(
    path: Path, *, text_field: str = "text", min_score: float = 0.0
) -> "nx.MultiDiGraph":
    """Make a graph of annotated documents.

    path (Path): A .jsonl or .parquet file that `annotate_file` wrote.
    text_field (str): The field that holds the text.
    min_score (float): Minimum score of an entity or a relation, as in `read_mentions`.
    RETURNS (nx.MultiDiGraph): Its nodes are (normalised text, label), with `text`, as first
        written, `label` and `mentions`, a list of EntityMention. An edge stands for each mention
        of a relation, with `label`, `score` (omitted if there is none), `document`, and `start`,
        `end` and `text` of both arguments as `head_start` and so on.
    RAISES (ImportError): If networkx is missing, or pyarrow for Parquet.
    RAISES (ValueError): If a row was not made by `spacy tabcnn annotate`.
    """
    graph = _import_networkx().MultiDiGraph()
    for entities, relations in read_mentions(path, text_field=text_field, min_score=min_score):
        for entity in entities:
            if entity.node not in graph:
                graph.add_node(entity.node, text=entity.text, label=entity.label, mentions=[])
            graph.nodes[entity.node]["mentions"].append(entity)
        for relation in relations:
            graph.add_edge(relation.head.node, relation.tail.node, **_get_edge_data(relation))
    return graph


def write_graph(
    path: Path, output: Path, *, text_field: str = "text", min_score: float = 0.0
) -> int:
    """Write annotated documents as a graph.

    path (Path): A .jsonl or .parquet file that `annotate_file` wrote.
    output (Path): A .graphml file, in which the mentions of a node are JSON; or a .csv file with
        a row for each mention of a relation, which requires neither networkx nor the memory for a
        graph. An apostrophe precedes a text that a spreadsheet would take for a formula.
    text_field (str): The field that holds the text.
    min_score (float): Minimum score of an entity or a relation, as in `read_mentions`.
    RETURNS (int): Number of edges.
    RAISES (ImportError): If networkx is missing for GraphML, or pyarrow for Parquet.
    RAISES (OSError): If the output cannot be written; an old one is kept.
    RAISES (ValueError): If the suffix is another one, the output is the input, or a row was not
        made by `spacy tabcnn annotate`.
    """
    check_outputs([output], [path])
    suffix = output.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(
            f"{output}: cannot tell its format from the suffix {output.suffix!r}; expected "
            f"{' or '.join(SUFFIXES)}"
        )
    if suffix == ".csv":
        return _write_csv(read_mentions(path, text_field=text_field, min_score=min_score), output)
    graph = make_graph(path, text_field=text_field, min_score=min_score)
    _write_graphml(graph, output)
    return graph.number_of_edges()


def _get_document(record: Record, number: int) -> str:
    identifier = record.get("id")
    if identifier is None:
        identifier = number
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
    if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
        raise ValueError(f"{where}: the field 'score' is {describe(score)}; expected a number")
    return score


def _select(
    entities: Iterable[EntityMention], relations: Iterable[RelationMention], min_score: float
) -> _Mentions:
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


def _get_edge_data(relation: RelationMention) -> dict[str, str | int | float]:
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


def _write_graphml(graph: "nx.MultiDiGraph", output: Path) -> None:
    """Write a graph; the mentions of its nodes become JSON."""
    for _, data in graph.nodes(data=True):
        mentions = [mention._asdict() for mention in data["mentions"]]
        data["n_mentions"] = len(mentions)
        data["mentions"] = json.dumps(mentions, ensure_ascii=False)
        _replace_invalid(data)
    for *_, data in graph.edges(data=True):
        _replace_invalid(data)
    with replace_file(output) as new:
        _import_networkx().write_graphml(graph, new)


def _replace_invalid(data: dict[str, object]) -> None:
    """Replace the characters that XML does not allow."""
    for name, value in data.items():
        if isinstance(value, str):
            data[name] = _NO_XML.sub("\ufffd", value)


def _write_csv(documents: Iterable[_Mentions], output: Path) -> int:
    head_columns = [f"head{name}" for name in _ARGUMENT_COLUMNS]
    tail_columns = [f"tail{name}" for name in _ARGUMENT_COLUMNS]
    n_edges = 0
    with open_output(output) as file_:
        text = TextIOWrapper(file_, encoding="utf-8", newline="")
        writer = csv.writer(text)
        writer.writerow([*head_columns, "relation", *tail_columns, "score", "document"])
        for _, relations in documents:
            for head, tail, label, score in relations:
                cells = (*_get_cells(head), label, *_get_cells(tail), score, head.document)
                writer.writerow(map(_escape_formula, cells))
                n_edges += 1
        text.flush()
        text.detach()
    return n_edges


def _get_cells(entity: EntityMention) -> tuple[object, ...]:
    return (*entity.node, entity.text, entity.start, entity.end, entity.score)


def _escape_formula(cell: object) -> object:
    """Put an apostrophe before a text that a spreadsheet would compute."""
    if isinstance(cell, str) and cell.startswith(_FORMULA):
        return f"'{cell}"
    return cell


def _import_networkx() -> ModuleType:
    try:
        import networkx
    except ImportError as err:
        raise ImportError(
            f'A graph needs networkx ({err}). Install it with: pip install "spacy-tabcnn[graph]"'
        ) from err
    return networkx

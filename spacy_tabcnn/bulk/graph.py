"""The graph of annotated documents: entities with the same text and label are one node, each relation is an edge that
says where it was found."""

import csv
import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .rows import get_format, read_rows

if TYPE_CHECKING:
    import networkx as nx

SUFFIXES = (".graphml", ".csv")
# What XML has no form for.
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class EntityMention(NamedTuple):
    """An entity, where it was found.

    document (str): The document's `id`, or the number of its row, from 1.
    start (int): Its first character in the document's text.
    end (int): The character after its last.
    text (str): It as it is written there.
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
        """RETURNS (tuple[str, str]): What it is merged by: its normalised text and its label."""
        return normalise(self.text), self.label


class RelationMention(NamedTuple):
    """A relation, where it was found.

    head (EntityMention): Where it starts from.
    tail (EntityMention): What it points to.
    label (str): Its label.
    score (float | None): Its score.
    """

    head: EntityMention
    tail: EntityMention
    label: str
    score: float | None


def normalise(text: str) -> str:
    """Make spellings of a name the same: Unicode's NFKC, without upper case, single spaces.

    text (str): A name.
    RETURNS (str): Its normal form.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def read_mentions(
    path: Path, *, text_field: str = "text", min_score: float = 0.0
) -> Iterator[tuple[list[EntityMention], list[RelationMention]]]:
    """Read the entities and relations of annotated documents.

    path (Path): A .jsonl or .parquet file that `annotate_file` wrote.
    text_field (str): The field that holds the text.
    min_score (float): Least score of an entity, and of a relation, whose entities must have it too. What has no score
        is kept.
    YIELDS (tuple): The entities and the relations of each document.
    RAISES (ImportError): If the file is Parquet and pyarrow is missing.
    RAISES (ValueError): If a row was not made by `spacy tabcnn annotate`.
    """
    get_format(path, formats=("jsonl", "parquet"))
    for number, row in enumerate(read_rows(path, text_field=text_field), 1):
        where = f"{path}, line {row.line}"
        if row.reason is not None:
            raise ValueError(
                f"{where}: {row.reason}. Give a file that `spacy tabcnn annotate` wrote, and --text-field"
            )
        identifier = row.record.get("id")
        document = str(number if identifier is None else identifier)
        try:
            entities = [
                EntityMention(document, start, end, row.record[text_field][start:end], label, score)
                for start, end, label, score in map(_get_entity, row.record["entities"])
            ]
            by_index = dict(enumerate(entities))
            relations = [
                RelationMention(
                    by_index[item["head"]], by_index[item["tail"]], item["label"], item["score"]
                )
                for item in row.record["relations"]
            ]
        except (KeyError, TypeError) as err:
            raise ValueError(
                f"{where}: malformed entities or relations ({type(err).__name__}: {err}). Give a file that "
                "`spacy tabcnn annotate` wrote"
            ) from err
        yield (
            [entity for entity in entities if _has_score(entity, min_score)],
            [
                item
                for item in relations
                if all(_has_score(part, min_score) for part in (item, item.head, item.tail))
            ],
        )


def make_graph(
    path: Path, *, text_field: str = "text", min_score: float = 0.0
) -> "nx.MultiDiGraph":
    """Make a graph of annotated documents.

    path (Path): A .jsonl or .parquet file that `annotate_file` wrote.
    text_field (str): The field that holds the text.
    min_score (float): Least score of an entity or a relation, as of `read_mentions`.
    RETURNS (nx.MultiDiGraph): Its nodes are (normalised text, label), with `text`, as first written, `label` and
        `mentions`, a list of EntityMention; an edge for each mention of a relation, with `label`, `score` (left out if
        there is none), `document`, and `start`, `end` and `text` of either argument as `head_start` and so on.
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
            data: dict[str, Any] = {"label": relation.label, "document": relation.head.document}
            if relation.score is not None:
                data["score"] = relation.score
            for role, entity in (("head", relation.head), ("tail", relation.tail)):
                data.update(
                    {
                        f"{role}_start": entity.start,
                        f"{role}_end": entity.end,
                        f"{role}_text": entity.text,
                    }
                )
            graph.add_edge(relation.head.node, relation.tail.node, **data)
    return graph


def write_graph(
    path: Path, output: Path, *, text_field: str = "text", min_score: float = 0.0
) -> int:
    """Write annotated documents as a graph.

    path (Path): A .jsonl or .parquet file that `annotate_file` wrote.
    output (Path): A .graphml file, in which the mentions of a node are JSON; or a .csv file with a row for each mention
        of a relation, which needs neither networkx nor memory.
    text_field (str): The field that holds the text.
    min_score (float): Least score of an entity or a relation, as of `read_mentions`.
    RETURNS (int): How many edges were written.
    RAISES (ImportError): If networkx is missing for GraphML, or pyarrow for Parquet.
    RAISES (ValueError): If the suffix is another one, or a row was not made by `spacy tabcnn annotate`.
    """
    if output.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"{output}: cannot tell its format from the suffix {output.suffix!r}; expected {' or '.join(SUFFIXES)}"
        )
    if output.suffix.lower() == ".csv":
        output.parent.mkdir(parents=True, exist_ok=True)
        return _write_csv(read_mentions(path, text_field=text_field, min_score=min_score), output)
    graph = make_graph(path, text_field=text_field, min_score=min_score)
    for _, data in graph.nodes(data=True):
        data["n_mentions"] = len(data["mentions"])
        mentions = [mention._asdict() for mention in data["mentions"]]
        data["mentions"] = json.dumps(mentions, ensure_ascii=False)
    for *_, data in (*graph.nodes(data=True), *graph.edges(data=True)):
        data.update(
            {
                name: _NO_XML.sub("\ufffd", item)
                for name, item in data.items()
                if isinstance(item, str)
            }
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    _import_networkx().write_graphml(graph, output)
    return graph.number_of_edges()


def _write_csv(
    documents: Iterator[tuple[list[EntityMention], list[RelationMention]]], output: Path
) -> int:
    names = ("", "_label", "_text", "_start", "_end", "_score")
    sides = [[f"{role}{name}" for name in names] for role in ("head", "tail")]
    n_edges = 0
    with output.open("w", encoding="utf-8", newline="") as file_:
        writer = csv.writer(file_)
        writer.writerow([*sides[0], "relation", *sides[1], "score", "document"])
        for _, relations in documents:
            for item in relations:
                head, tail = (
                    [*part.node, part.text, part.start, part.end, part.score]
                    for part in (item.head, item.tail)
                )
                writer.writerow([*head, item.label, *tail, item.score, item.head.document])
                n_edges += 1
    return n_edges


def _get_entity(item: dict[str, Any]) -> tuple[int, int, str, float | None]:
    return item["start"], item["end"], item["label"], item["score"]


def _has_score(mention: EntityMention | RelationMention, min_score: float) -> bool:
    return mention.score is None or mention.score >= min_score


def _import_networkx() -> Any:
    try:
        import networkx
    except ImportError as err:
        raise ImportError(
            f'A graph needs networkx ({err}). Install it with: pip install "spacy-tabcnn[graph]"'
        ) from err
    return networkx

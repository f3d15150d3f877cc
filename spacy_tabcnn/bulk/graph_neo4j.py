"""The graph for Neo4j: two CSV files for `neo4j-admin database import`, and a Cypher script.

The header rules are those of Neo4j's operations manual, "Import": `name:ID(space)`, `:LABEL`,
`:START_ID(space)`, `:END_ID(space)`, `:TYPE`, and properties as `name:type`. The script makes the
same graph in a database that is running. It uses `MERGE`, so that it can run again.

A label stands in the script as a name in backticks, and in the CSV file in a list that semicolons
separate. Both forms have characters that cannot be written in all versions of Neo4j. The names have
"_" instead of them, and the property `label` has the exact label.
"""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Protocol, TypeAlias

from ..files import fill_folder, open_new, open_output
from .graph_csv import escape_formulas
from .mentions import (
    KeyFunction,
    Mentions,
    Node,
    RelationMention,
    collect_nodes,
    get_edge_data,
    make_id,
)

NODES_FILE = "nodes.csv"
RELATIONSHIPS_FILE = "relationships.csv"
SCRIPT_FILE = "graph.cypher"
# The files of the folder that `write_neo4j` fills.
NEO4J_FILES = (NODES_FILE, RELATIONSHIPS_FILE, SCRIPT_FILE)

# The label that all nodes have.
_ENTITY = "Entity"
_NODE_HEADER = (
    f"id:ID({_ENTITY})",
    "text:string",
    "label:string",
    "n_mentions:long",
    "mentions:string",
    ":LABEL",
)
# The properties of a relationship, with their types in Neo4j.
_EDGE_TYPES = {
    "label": "string",
    "score": "double",
    "document": "string",
    "head_start": "long",
    "head_end": "long",
    "head_text": "string",
    "tail_start": "long",
    "tail_end": "long",
    "tail_text": "string",
}
# The properties that tell two mentions of a relation apart.
_PLACE = ("document", "head_start", "head_end", "tail_start", "tail_end")
# Neo4j reads one line as one row unless an option of the import says otherwise.
_LINE_BREAKS = re.compile("[\r\n]+")
# Characters that names cannot hold: a backslash, which begins an escape sequence in some versions,
# a semicolon, which separates labels, and control characters.
_NOT_IN_NAMES = re.compile(r"[\\;\x00-\x1f\x7f-\x9f]")
_ESCAPES = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\x00": "\ufffd"}
_ESCAPED = re.compile(r"[\\'\n\r\t\x00]")
# Versions before 2025 replace escape sequences such as \u0027 before they look for strings, also
# after another backslash. A string is divided there.
_UNICODE_ESCAPE = re.compile(r"\\\\(?=[uU])")

# Reads the documents from the beginning.
Reader: TypeAlias = Callable[[], Iterable[Mentions]]


class _Writer(Protocol):
    """A writer of the module `csv`."""

    def writerow(self, row: Iterable[object], /) -> object:
        """Write a row.

        row (Iterable[object]): The cells.
        RETURNS (object): Not used.
        """


def write_neo4j(
    folder: Path, read: Reader, *, key: KeyFunction, keep_formulas: bool = False
) -> int:
    """Write a folder with the CSV files of Neo4j's import and with the Cypher script.

    folder (Path): The folder. Its other files stay.
    read (Reader): Reads the documents. It is called several times.
    key (KeyFunction): Mentions with the same key are one node.
    keep_formulas (bool): Write the texts of the CSV files as they are, also if a spreadsheet would
        compute them.
    RETURNS (int): Number of relationships.
    RAISES (OSError): If the files cannot be written; old ones are kept.
    """
    with fill_folder(folder) as new:
        nodes = collect_nodes(read(), key)
        with _open_csv(new / NODES_FILE) as writer:
            writer.writerow(_NODE_HEADER)
            for node in nodes.values():
                writer.writerow(_clean(_make_node_row(node), keep_formulas))
        with _open_csv(new / RELATIONSHIPS_FILE) as writer:
            writer.writerow(_make_edge_header())
            for relation in _list_relations(read()):
                writer.writerow(_clean(_make_edge_row(relation, key), keep_formulas))
        with open_new(new / SCRIPT_FILE) as file_:
            return _write_statements(TextIOWrapper(file_, "utf-8", newline=""), nodes, read, key)


def write_cypher(output: Path, read: Reader, *, key: KeyFunction) -> int:
    """Write a Cypher script that makes the graph, with a statement on each line.

    output (Path): The file to write.
    read (Reader): Reads the documents. It is called twice.
    key (KeyFunction): Mentions with the same key are one node.
    RETURNS (int): Number of relationships.
    RAISES (OSError): If the file cannot be written; an old one is kept.
    """
    nodes = collect_nodes(read(), key)
    with open_output(output) as file_:
        return _write_statements(TextIOWrapper(file_, "utf-8", newline=""), nodes, read, key)


def quote_name(label: str) -> str:
    """Return a label as a name in Cypher: in backticks, which are doubled inside it.

    label (str): The label of an entity or a relation.
    RETURNS (str): The name.
    """
    return f"`{clean_name(label).replace('`', '``')}`"


def clean_name(label: str) -> str:
    """Replace the characters of a label that a name in Neo4j cannot hold.

    label (str): The label of an entity or a relation.
    RETURNS (str): The name, without quotes.
    """
    return _NOT_IN_NAMES.sub("_", label)


def quote_value(value: str | int | float) -> str:
    """Return a value as a literal in Cypher.

    value (str | int | float): The value.
    RETURNS (str): The literal; of a text with `\\u` an expression that joins two strings.
    """
    if not isinstance(value, str):
        return repr(value)
    escaped = _ESCAPED.sub(_escape, value)
    divided = _UNICODE_ESCAPE.sub(r"\\\\' + '", escaped)
    return f"'{divided}'"


def _escape(match: re.Match[str]) -> str:
    return _ESCAPES[match[0]]


@contextmanager
def _open_csv(path: Path) -> Iterator[_Writer]:
    with open_new(path) as file_:
        text = TextIOWrapper(file_, encoding="utf-8", newline="")
        yield csv.writer(text, lineterminator="\n")
        text.flush()
        text.detach()


def _clean(row: Iterable[object], keep_formulas: bool) -> Iterable[object]:
    return escape_formulas(map(_remove_breaks, row), keep_formulas)


def _remove_breaks(cell: object) -> object:
    """Replace line breaks by spaces, and the character 0, which ends texts in some programs."""
    if isinstance(cell, str):
        return _LINE_BREAKS.sub(" ", cell).replace("\x00", "\ufffd")
    return cell


def _make_node_row(node: Node) -> Sequence[object]:
    labels = f"{_ENTITY};{clean_name(node.label)}"
    return node.id, node.text, node.label, len(node.mentions), _dump_mentions(node), labels


def _dump_mentions(node: Node) -> str:
    mentions = [mention._asdict() for mention in node.mentions]
    return json.dumps(mentions, ensure_ascii=False)


def _make_edge_header() -> list[str]:
    properties = map(":".join, _EDGE_TYPES.items())
    return [f":START_ID({_ENTITY})", f":END_ID({_ENTITY})", ":TYPE", *properties]


def _make_edge_row(relation: RelationMention, key: KeyFunction) -> list[object]:
    head, tail = make_id(*key(relation.head)), make_id(*key(relation.tail))
    data = get_edge_data(relation)
    return [head, tail, clean_name(relation.label), *map(data.get, _EDGE_TYPES)]


def _list_relations(documents: Iterable[Mentions]) -> Iterator[RelationMention]:
    for _, relations in documents:
        yield from relations


def _write_statements(
    text: TextIOWrapper, nodes: dict[tuple[str, str], Node], read: Reader, key: KeyFunction
) -> int:
    """Write the script, and return the number of relationships."""
    text.write(
        f"CREATE CONSTRAINT entity_id IF NOT EXISTS FOR (e:{_ENTITY}) REQUIRE e.id IS UNIQUE;\n"
    )
    for node in nodes.values():
        text.write(_make_node_statement(node))
    n_edges = 0
    for relation in _list_relations(read()):
        text.write(_make_edge_statement(relation, key))
        n_edges += 1
    text.flush()
    text.detach()
    return n_edges


def _make_node_statement(node: Node) -> str:
    properties: dict[str, str | int | float] = {
        "text": node.text,
        "label": node.label,
        "n_mentions": len(node.mentions),
        "mentions": _dump_mentions(node),
    }
    return (
        f"MERGE (e:{_ENTITY} {{id: {quote_value(node.id)}}}) SET e:{quote_name(node.label)}, "
        f"{_assign('e', properties)};\n"
    )


def _make_edge_statement(relation: RelationMention, key: KeyFunction) -> str:
    head, tail = make_id(*key(relation.head)), make_id(*key(relation.tail))
    data = get_edge_data(relation)
    place = ", ".join(f"{name}: {quote_value(data.pop(name))}" for name in _PLACE)
    return (
        f"MATCH (h:{_ENTITY} {{id: {quote_value(head)}}}), "
        f"(t:{_ENTITY} {{id: {quote_value(tail)}}}) "
        f"MERGE (h)-[r:{quote_name(relation.label)} {{{place}}}]->(t) SET {_assign('r', data)};\n"
    )


def _assign(variable: str, properties: dict[str, str | int | float]) -> str:
    """Return the part of a `SET` that assigns properties."""
    return ", ".join(
        f"{variable}.{name} = {quote_value(value)}" for name, value in properties.items()
    )

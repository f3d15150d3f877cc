"""The graph of annotated documents.

Entities with the same text and label are one node, unless another key function merges them. Each
relation is an edge with the place where it was found.
"""

import json
import re
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ..files import check_outputs, replace_file, write_json
from .graph_csv import write_edges
from .graph_neo4j import NEO4J_FILES, Reader, write_cypher, write_neo4j
from .graph_rdf import DEFAULT_BASE, write_rdf
from .mentions import (
    KeyFunction,
    collect_nodes,
    get_edge_data,
    make_id,
    merge_by_text_and_label,
    read_mentions,
)

if TYPE_CHECKING:
    import networkx as nx

# The format of a file by its suffix. "neo4j" is a folder.
SUFFIXES = {
    ".graphml": "graphml",
    ".csv": "csv",
    ".json": "json",
    ".ttl": "turtle",
    ".jsonld": "json-ld",
    ".cypher": "cypher",
}
GRAPH_FORMATS = (*SUFFIXES.values(), "neo4j")
# Characters that XML does not allow.
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def make_graph(
    path: Path,
    *,
    text_field: str = "text",
    min_score: float = 0.0,
    key: KeyFunction = merge_by_text_and_label,
) -> "nx.MultiDiGraph":
    """Make a graph of annotated documents.

    path (Path): A .jsonl or .parquet file that `annotate_file` wrote.
    text_field (str): The field that holds the text.
    min_score (float): Minimum score of an entity or a relation, as in `read_mentions`.
    key (KeyFunction): Returns the node of an EntityMention: a name and a label.
    RETURNS (nx.MultiDiGraph): Its nodes are (normalised text, label), or the keys of another key
        function, with `text`, as first written, `label` and `mentions`, a list of EntityMention. An
        edge stands for each mention of a relation, with `label`, `score` (omitted if there is
        none), `document`, and `start`, `end` and `text` of both arguments as `head_start` and so
        on.
    RAISES (ImportError): If networkx is missing, or pyarrow for Parquet.
    RAISES (ValueError): If a row was not made by `spacy tabcnn annotate`.
    """
    graph = _import_networkx().MultiDiGraph()
    for entities, relations in read_mentions(path, text_field=text_field, min_score=min_score):
        for entity in entities:
            node = key(entity)
            if node not in graph:
                graph.add_node(node, text=entity.text, label=entity.label, mentions=[])
            graph.nodes[node]["mentions"].append(entity)
        for relation in relations:
            graph.add_edge(key(relation.head), key(relation.tail), **get_edge_data(relation))
    return graph


def write_graph(
    path: Path,
    output: Path,
    *,
    format_name: str | None = None,
    text_field: str = "text",
    min_score: float = 0.0,
    key: KeyFunction = merge_by_text_and_label,
    base: str = DEFAULT_BASE,
    keep_formulas: bool = False,
) -> int:
    """Write annotated documents as a graph.

    path (Path): A .jsonl or .parquet file that `annotate_file` wrote.
    output (Path): A .graphml file, in which the mentions of a node are JSON; a .csv file with a row
        for each mention of a relation, which requires neither networkx nor the memory for a graph;
        a .json file in networkx's node-link form; a .ttl or .jsonld file of RDF; a .cypher script;
        or a folder of files for Neo4j.
    format_name (str | None): "graphml", "csv", "json", "turtle", "json-ld", "cypher" or "neo4j";
        None for the format of the suffix. A folder needs "neo4j".
    text_field (str): The field that holds the text.
    min_score (float): Minimum score of an entity or a relation, as in `read_mentions`.
    key (KeyFunction): Returns the node of an EntityMention: a name and a label.
    base (str): The beginning of all IRIs of RDF.
    keep_formulas (bool): Write the texts of CSV files as they are. By default, an apostrophe
        precedes a text that a spreadsheet would take for a formula.
    RETURNS (int): Number of edges.
    RAISES (ImportError): If networkx is missing for GraphML, rdflib for RDF, or pyarrow for
        Parquet.
    RAISES (OSError): If the output cannot be written; an old one is kept.
    RAISES (ValueError): If the format is unknown, the output is the input, or a row was not made by
        `spacy tabcnn annotate`.
    """
    format_name = find_format(output, format_name)
    check_outputs(list_outputs(output, format_name), [path])
    read = partial(read_mentions, path, text_field=text_field, min_score=min_score)
    if format_name == "csv":
        return write_edges(output, read(), key=key, keep_formulas=keep_formulas)
    if format_name == "json":
        return _write_node_link(output, read, key)
    if format_name == "cypher":
        return write_cypher(output, read, key=key)
    if format_name == "neo4j":
        return write_neo4j(output, read, key=key, keep_formulas=keep_formulas)
    if format_name == "graphml":
        graph = make_graph(path, text_field=text_field, min_score=min_score, key=key)
        _write_graphml(graph, output)
        return graph.number_of_edges()
    return write_rdf(output, read(), format_name=format_name, key=key, base=base)


def find_format(output: Path, format_name: str | None) -> str:
    """Return the format of an output.

    output (Path): The output.
    format_name (str | None): The name of its format, if one was given.
    RETURNS (str): The name of its format.
    RAISES (ValueError): If there is no such format, or the suffix stands for none.
    """
    if format_name is None:
        format_name = SUFFIXES.get(output.suffix.lower())
        if format_name is None:
            *others, last = SUFFIXES
            raise ValueError(
                f"{output}: cannot tell its format from the suffix {output.suffix!r}; expected "
                f"{', '.join(others)} or {last}, or the format neo4j for a folder"
            )
    if format_name not in GRAPH_FORMATS:
        raise ValueError(
            f"unknown format {format_name!r} of a graph; expected one of {', '.join(GRAPH_FORMATS)}"
        )
    return format_name


def list_outputs(output: Path, format_name: str) -> list[Path]:
    """List the files that a format has.

    output (Path): The output.
    format_name (str): The name of its format.
    RETURNS (list[Path]): The file, or the files in the folder.
    """
    if format_name == "neo4j":
        return [output / name for name in NEO4J_FILES]
    return [output]


def _write_node_link(output: Path, read: Reader, key: KeyFunction) -> int:
    """Write the graph as JSON in the form of `networkx.node_link_data`, without networkx."""
    nodes = []
    for node in collect_nodes(read(), key).values():
        mentions = [mention._asdict() for mention in node.mentions]
        nodes.append({**node._asdict(), "mentions": mentions})
    edges = []
    numbers: dict[tuple[str, str], int] = {}  # of the edges between two nodes
    for _, relations in read():
        for relation in relations:
            ends = make_id(*key(relation.head)), make_id(*key(relation.tail))
            number = numbers.get(ends, 0)
            numbers[ends] = number + 1
            place = {"source": ends[0], "target": ends[1], "key": number}
            edges.append({**get_edge_data(relation), **place})
    graph = {"directed": True, "multigraph": True, "graph": {}, "nodes": nodes, "edges": edges}
    write_json(output, graph)
    return len(edges)


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


def _import_networkx() -> ModuleType:
    try:
        import networkx
    except ImportError as err:
        raise ImportError(
            f'A graph needs networkx ({err}). Install it with: pip install "spacy-tabcnn[graph]"'
        ) from err
    return networkx

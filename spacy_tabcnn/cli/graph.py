"""`spacy tabcnn graph`: annotated documents as a graph of entities and relations."""

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ..bulk.graph import GRAPH_FORMATS
from ..bulk.graph_rdf import DEFAULT_BASE
from ..bulk.mentions import KEY_FUNCTIONS, KeyFunction
from ._app import tabcnn_cli
from ._arguments import Kind, check_direction, check_kind


@tabcnn_cli.command("graph")
def graph_cli(
    source: Annotated[
        Path,
        typer.Argument(metavar="IN", help="Output of `spacy tabcnn annotate`: .jsonl or .parquet"),
    ],
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="File to write: .graphml, .csv, .json, .ttl, .jsonld or .cypher; or a folder with "
            "--format neo4j",
        ),
    ],
    *,
    text_field: Annotated[
        str, typer.Option("--text-field", "-t", help="Field that holds the text")
    ] = "text",
    min_score: Annotated[
        float,
        typer.Option(
            "--min-score",
            "-m",
            help="Minimum score of a relation and of its entities",
            min=0,
            max=1,
        ),
    ] = 0.0,
    format_name: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            help=f"Format of OUT: {', '.join(GRAPH_FORMATS)}; by default the suffix decides",
        ),
    ] = None,
    merge: Annotated[
        str,
        typer.Option(
            "--merge",
            help="Entities that are one node: text-label (same label, and same text apart from "
            "case and spaces), exact (same label and text), text (same text apart from case and "
            "spaces, any label) or none",
        ),
    ] = "text-label",
    base: Annotated[
        str, typer.Option("--base", metavar="IRI", help="Beginning of all IRIs (.ttl, .jsonld)")
    ] = DEFAULT_BASE,
    keep_formulas: Annotated[
        bool,
        typer.Option(
            "--keep-formulas",
            help="CSV: write texts as they are, without an apostrophe before texts that a "
            "spreadsheet would compute",
        ),
    ] = False,
) -> None:
    """
    Make a graph of annotated documents.

    A node is an entity: all mentions with the same label and the same text, apart
    from case, spaces and Unicode's variants, unless --merge is set. An edge is a
    relation with its label, its score and its place: document (id, or number of the
    row) and characters. GraphML opens in Gephi, Cytoscape or networkx; CSV has one
    row for each relation; JSON is in networkx's node-link form. Turtle (.ttl) and
    JSON-LD (.jsonld) are RDF. A Cypher script adds the graph to a Neo4j database.
    With --format neo4j, OUT is a folder with that script and with two CSV files for
    `neo4j-admin database import`.

    EXAMPLES:

    spacy tabcnn graph annotated.jsonl graph.graphml --min-score 0.5

    spacy tabcnn graph annotated.jsonl neo4j --format neo4j
    """
    from ..bulk.graph import write_graph

    try:
        check_kind(source, Kind.DATA)
        check_direction([source], output)
        n_edges = write_graph(
            source,
            output,
            format_name=format_name,
            text_field=text_field,
            min_score=min_score,
            key=_get_key_function(merge),
            base=base,
            keep_formulas=keep_formulas,
        )
    except (ImportError, OSError, ValueError) as err:
        msg.fail("Could not make the graph", str(err), exits=1)
    msg.good(f"{n_edges} relations in {output}")


def _get_key_function(name: str) -> KeyFunction:
    if name not in KEY_FUNCTIONS:
        raise ValueError(f"--merge is {name!r}; expected one of {', '.join(KEY_FUNCTIONS)}")
    return KEY_FUNCTIONS[name]

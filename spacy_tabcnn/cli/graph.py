"""`spacy tabcnn graph`: annotated documents as a graph of entities and relations."""

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ._app import tabcnn_cli
from ._arguments import Kind, check_direction, check_kind


@tabcnn_cli.command("graph")
def graph_cli(
    source: Annotated[
        Path,
        typer.Argument(metavar="IN", help="Output of `spacy tabcnn annotate`: .jsonl or .parquet"),
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="File to write: .graphml or .csv")],
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
) -> None:
    """
    Make a graph of annotated documents.

    A node is an entity: all mentions with the same label and the same text, apart
    from case, spaces and Unicode's variants. An edge is a relation with its label,
    its score and its place: document (id, or number of the row) and characters.
    GraphML opens in Gephi, Cytoscape or networkx; CSV has one row for each relation.

    EXAMPLE:

    spacy tabcnn graph annotated.jsonl graph.graphml --min-score 0.5
    """
    from ..bulk.graph import write_graph

    try:
        check_kind(source, Kind.DATA)
        check_direction([source], output)
        n_edges = write_graph(source, output, text_field=text_field, min_score=min_score)
    except (ImportError, OSError, ValueError) as err:
        msg.fail("Could not make the graph", str(err), exits=1)
    msg.good(f"{n_edges} relations in {output}")

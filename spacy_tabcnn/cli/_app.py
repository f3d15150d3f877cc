"""The group of the commands `spacy tabcnn ...`."""

import typer
from spacy.cli._util import app

HELP = (
    "Joint entity and relation extraction: corpora, configs, encoders, scores, pictures, bulk "
    "annotation, a page."
)

tabcnn_cli = typer.Typer(name="tabcnn", help=HELP, no_args_is_help=True, rich_markup_mode=None)
app.add_typer(tabcnn_cli)

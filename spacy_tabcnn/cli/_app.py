"""The group of the commands `spacy tabcnn ...`."""

import errno
import os
import sys
from typing import Any

import typer
from spacy.cli._util import app
from typer.core import TyperGroup

HELP = (
    "Joint entity and relation extraction: corpora, configs, encoders, scores, pictures, bulk "
    "annotation, a page."
)


class _Group(TyperGroup):
    """Commands that end with a message if the standard output cannot be written."""

    def invoke(self, ctx: Any) -> object:
        """Run a command.

        ctx (typer.Context): The command and its arguments.
        RETURNS (object): The result of the command.
        """
        try:
            try:
                return super().invoke(ctx)
            finally:
                _flush()
        except OSError as err:
            # typer ends quietly at a closed pipe.
            if err.errno == errno.EPIPE or not _fails():
                raise
            print(f"The standard output cannot be written: {err.strerror}", file=sys.stderr)
            # Otherwise Python tries to write the rest when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)


def _flush() -> None:
    if sys.stdout is not None:  # as it is in `spacy tabcnn show ... >&-`
        sys.stdout.flush()


def _fails() -> bool:
    """Return whether the standard output takes no further line."""
    try:
        print(flush=True)
    except OSError:
        return True
    return False


tabcnn_cli = typer.Typer(
    name="tabcnn", cls=_Group, help=HELP, no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(tabcnn_cli)

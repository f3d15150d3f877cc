"""`python -m experiments`: the paper's study, its searches and its report."""

import typer

from .report_cli import report_cli
from .study_cli import study_cli

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.command("report")(report_cli)
app.command("study", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    study_cli
)

if __name__ == "__main__":
    app()

"""`python -m experiments`: the paper's study, searches, comparisons, and the report."""

import typer

from .compare_cli import compare_cli
from .loop_cli import loop_cli
from .report_cli import report_cli
from .study_cli import study_cli

# The backspace keeps the line breaks of the paragraph below it.
HELP = """The paper's experiments: grids of training runs, searches, comparisons, and the report.

\b
Requires the extras `study` and `report`:
pip install "spacy-tabcnn[study,report]"
"""

app = typer.Typer(
    name="experiments",
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("compare")(compare_cli)
app.command("loop", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    loop_cli
)
app.command("report")(report_cli)
app.command("study", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    study_cli
)

if __name__ == "__main__":
    app(prog_name="python -m experiments")

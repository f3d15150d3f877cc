"""`python -m experiments`: the paper's study, searches, comparisons, and the report."""

import typer

from .compare_cli import compare_cli
from .curve_cli import curve_cli
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
for _name, _command in (("curve", curve_cli), ("loop", loop_cli), ("study", study_cli)):
    app.command(_name, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
        _command
    )
app.command("report")(report_cli)

if __name__ == "__main__":
    app(prog_name="python -m experiments")

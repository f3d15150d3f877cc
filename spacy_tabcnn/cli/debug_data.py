"""`spacy tabcnn debug-data`: figures of a corpus, and warnings of what stands in the way of training."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import srsly
import typer
from spacy.vocab import Vocab
from wasabi import msg

from ..corpora.docbin import read_docbin
from ..corpora.problems import DEFAULT_MIN_COUNT, CorpusProblem, find_problems
from ..corpora.statistics import CorpusStatistics, count_corpus
from ..sentences import DEFAULT_MAX_LENGTH
from ._app import tabcnn_cli

_MAX_CASES = 5  # of one finding to print; --output has them all


@tabcnn_cli.command("debug-data")
def debug_data_cli(
    train: Annotated[Path, typer.Argument(help="Training corpus: a .spacy file")],
    dev: Annotated[Path | None, typer.Argument(help="Development corpus: a .spacy file")] = None,
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="JSON file for all figures")
    ] = None,
    min_count: Annotated[
        int,
        typer.Option(
            "--min-count", "-m", min=0, help="Warn of labels with fewer examples in TRAIN"
        ),
    ] = DEFAULT_MIN_COUNT,
    max_length: Annotated[
        int,
        typer.Option(
            "--max-length", "-l", min=2, help="Most words of a table: max_length of the component"
        ),
    ] = DEFAULT_MAX_LENGTH,
) -> None:
    """
    Look through a corpus before training.

    Counts documents, entities and relations by label and by types, and lengths in
    words. Warns of annotation that is missing or cannot be learned, of rare labels,
    of what DEV has and TRAIN lacks, and of repeated texts. The exit code is 1 if
    TRAIN cannot be trained on.

    EXAMPLE:

    spacy tabcnn debug-data corpus/train.spacy corpus/dev.spacy
    """
    corpora: dict[str, CorpusStatistics] = {}
    try:
        for name, path in (("train", train), ("dev", dev)):
            if path is not None:
                corpora[name] = count_corpus(read_docbin(path, Vocab()), max_length=max_length)
    except (OSError, ValueError) as err:
        msg.fail("Could not read the corpus", str(err), exits=1)
    findings = find_problems(corpora["train"], corpora.get("dev"), min_count=min_count)
    _print_figures(corpora)
    _print_findings(findings)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        figures = {name: stats.to_dict() for name, stats in corpora.items()}
        cases = [
            {**finding._asdict(), "cases": [case._asdict() for case in finding.cases]}
            for finding in findings
        ]
        srsly.write_json(output, {**figures, "findings": cases})
        msg.good(f"Saved the figures to {output}")
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)


def _print_figures(corpora: dict[str, CorpusStatistics]) -> None:
    names, columns = list(corpora), list(corpora.values())
    sizes = [stats.sizes for stats in columns]
    _print_table(
        ["Number of", *names], [(what, *(size[what] for size in sizes)) for what in sizes[0]]
    )
    _print_table(["Entities", *names], _count_rows([stats.entities.counts for stats in columns]))
    _print_table(["Relations", *names], _count_rows([stats.relations.counts for stats in columns]))
    _print_table(
        ["Relations by types", *names], _count_rows([stats.kinds.counts for stats in columns])
    )
    lengths = {f"{what} ({name})": s for name in names for what, s in corpora[name].lengths.items()}
    _print_table(
        ["Words", "median", "95 %", "max"], [(what, *summary) for what, summary in lengths.items()]
    )


def _count_rows(counts: Sequence[Counter]) -> list[tuple[str | int, ...]]:
    """A row for each thing that was counted anywhere, the most frequent of the first corpus on top."""
    keys = sorted(set().union(*counts), key=lambda key: (*(-count[key] for count in counts), key))
    return [(str(key), *(count[key] for count in counts)) for key in keys]


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str | int]]) -> None:
    msg.table(
        rows, header=header, divider=True, aligns=("l", *("r" for _ in header[1:])), max_col=60
    )


def _print_findings(findings: Sequence[CorpusProblem]) -> None:
    show: dict[str, Callable[[str], object]] = {
        "error": msg.fail,
        "warning": msg.warn,
        "hint": msg.info,
    }
    for finding in findings:
        total = sum(case.times for case in finding.cases)
        show[finding.level](f"{finding.corpus}: {finding.what}" + (f" ({total})" if total else ""))
        for name, times, document in finding.cases[:_MAX_CASES]:
            msg.text(f"- {name}: {times} (document {document})")
        if len(finding.cases) > _MAX_CASES:
            msg.text(f"- and {len(finding.cases) - _MAX_CASES} more")
        msg.text(f"{finding.advice}.")
        msg.text("")
    levels = Counter(finding.level for finding in findings)
    if findings:
        counts = ", ".join(f"{count} {level}{'s' * (count > 1)}" for level, count in levels.items())
        msg.info(f"{counts}. Documents are counted from 0")
    else:
        msg.good("Nothing to complain of")

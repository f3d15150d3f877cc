"""`spacy tabcnn debug-data`: figures of a corpus, and warnings of obstacles to training."""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from spacy.vocab import Vocab
from wasabi import msg

from ..corpora.docbin import read_docbin
from ..corpora.problems import DEFAULT_MIN_COUNT, CorpusProblem, find_problems
from ..corpora.statistics import CorpusStatistics, count_corpus
from ..files import write_json
from ..sentences import DEFAULT_MAX_LENGTH
from ._app import tabcnn_cli
from ._arguments import Kind, check_kind, check_written

# Printed cases of one finding; --output has all of them.
_MAX_CASES = 5
# A name and its numbers.
_CountRow: TypeAlias = tuple[str | int, ...]


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
            "--max-length",
            "-l",
            min=2,
            help="Maximum number of words of a table: max_length of the component",
        ),
    ] = DEFAULT_MAX_LENGTH,
) -> None:
    """
    Check a corpus before training.

    Counts documents, entities and relations by label and by types, and lengths in
    words. Warns of annotation that is missing or cannot be learned, of rare labels,
    of labels that DEV has and TRAIN lacks, and of repeated texts. The exit code is
    1 if TRAIN cannot be used for training.

    EXAMPLE:

    spacy tabcnn debug-data corpus/train.spacy corpus/dev.spacy
    """
    try:
        for corpus in filter(None, (train, dev)):
            check_kind(corpus, Kind.CORPUS)
        check_written(filter(None, [output]), [train, dev])
        corpora = {"train": _count_file(train, max_length)}
        if dev is not None:
            corpora["dev"] = _count_file(dev, max_length)
    except (OSError, ValueError) as err:
        msg.fail("Could not read the corpus", str(err), exits=1)
    findings = find_problems(corpora["train"], corpora.get("dev"), min_count=min_count)
    _print_figures(corpora)
    _print_findings(findings)
    if output is not None:
        try:
            _write_figures(output, corpora, findings)
        except OSError as err:
            msg.fail("Could not save the figures", str(err), exits=1)
        msg.good(f"Saved the figures to {output}")
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)


def _count_file(path: Path, max_length: int) -> CorpusStatistics:
    return count_corpus(read_docbin(path, Vocab()), max_length=max_length)


def _write_figures(
    output: Path, corpora: dict[str, CorpusStatistics], findings: Sequence[CorpusProblem]
) -> None:
    figures: dict[str, object] = {}
    for name, stats in corpora.items():
        figures[name] = stats.to_dict()
    found = []
    for finding in findings:
        cases = [case._asdict() for case in finding.cases]
        found.append({**finding._asdict(), "cases": cases})
    figures["findings"] = found
    write_json(output, figures)


def _print_figures(corpora: dict[str, CorpusStatistics]) -> None:
    names, columns = list(corpora), list(corpora.values())
    _print_sizes(names, [Counter(stats.sizes) for stats in columns])
    _print_counts("Entities", names, [stats.entities.counts for stats in columns])
    _print_counts("Relations", names, [stats.relations.counts for stats in columns])
    _print_counts("Relations by types", names, [stats.kinds.counts for stats in columns])
    _print_lengths(corpora)
    if not columns[0].has_running_text:
        msg.info(
            "train has single sentences only. For running text keep the component `senter` of the "
            "shipped configs, and measure with `spacy tabcnn evaluate --join 5`"
        )


def _print_sizes(names: Sequence[str], sizes: Sequence[Counter[str]]) -> None:
    rows: list[_CountRow] = []
    for name in sizes[0]:
        rows.append((name, *_get_numbers(name, sizes)))
    _print_table(["Number of", *names], rows)


def _print_lengths(corpora: dict[str, CorpusStatistics]) -> None:
    rows: list[_CountRow] = []
    for corpus, stats in corpora.items():
        for name, summary in stats.lengths.items():
            rows.append((f"{name} ({corpus})", *summary))
    _print_table(["Words", "median", "95 %", "max"], rows)


def _print_counts(title: str, names: Sequence[str], counts: Sequence[Counter]) -> None:
    """Print a row for each counted thing, the most frequent one of the first corpus on top."""
    rows: list[_CountRow] = []
    for key in sorted(set().union(*counts)):
        rows.append((str(key), *_get_numbers(key, counts)))
    rows.sort(key=lambda row: row[1:], reverse=True)
    _print_table([title, *names], rows)


def _get_numbers(key: Hashable, counts: Sequence[Counter]) -> tuple[int, ...]:
    return tuple(count[key] for count in counts)


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str | int]]) -> None:
    aligns = ("l", *("r" * (len(header) - 1)))
    msg.table(rows, header=header, divider=True, aligns=aligns, max_col=60)


def _print_findings(findings: Sequence[CorpusProblem]) -> None:
    if not findings:
        msg.good("Nothing to complain of")
        return
    for finding in findings:
        _print_finding(finding)
    counts = []
    for level, count in Counter(finding.level for finding in findings).items():
        counts.append(f"{count} {level}{'s' * (count > 1)}")
    msg.info(f"{', '.join(counts)}. Documents are counted from 0")


def _print_finding(finding: CorpusProblem) -> None:
    show: dict[str, Callable[[str], object]] = {
        "error": msg.fail,
        "warning": msg.warn,
        "hint": msg.info,
    }
    title = f"{finding.corpus}: {finding.what}"
    if finding.cases:
        title += f" ({sum(case.times for case in finding.cases)})"
    show[finding.level](title)
    for name, times, document in finding.cases[:_MAX_CASES]:
        msg.text(f"- {name}: {times} (document {document})")
    if len(finding.cases) > _MAX_CASES:
        msg.text(f"- and {len(finding.cases) - _MAX_CASES} more")
    msg.text(f"{finding.advice}.")
    msg.text("")

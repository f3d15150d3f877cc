"""`spacy tabcnn agreement`: the agreement of annotators."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Annotated, NamedTuple, TypedDict

import typer
from spacy.language import Language
from spacy.tokens import Doc
from wasabi import msg

from ..bulk.pool import is_corpus, read_corpus
from ..corpora.annotators import list_annotators
from ..corpora.conversion import Alignment, ConversionReport
from ..corpora.formats import read_annotations
from ..corpora.options import FIRST_ANNOTATOR, OTHER_ANNOTATORS, ReadingOptions
from ..corpora.tokenizer import load_tokenizer
from ..evaluation.agreement import (
    Agreement,
    Figures,
    Matching,
    UnitAgreement,
    make_examples,
    match_documents,
    measure_agreement,
    name_document,
)
from ..evaluation.scoring import format_percent
from ..files import write_json, write_text
from ._app import tabcnn_cli
from ._arguments import Kind, check_output, check_written, find_kind

# Documents that a message names.
_MAX_NAMED = 5


class _Side(NamedTuple):
    """An annotation of documents.

    name (str): Its name: the file or the annotator.
    docs (list[Doc]): The documents.
    """

    name: str
    docs: list[Doc]


class PairAgreement(TypedDict):
    """The agreement of two annotators.

    first, second (str): Their names.
    compared (int): Number of documents that both annotated.
    only_first, only_second (list[str]): The documents that only one of them annotated.
    other_texts (list[str]): The ids that both have with different texts.
    agreement (Agreement): The figures.
    """

    first: str
    second: str
    compared: int
    only_first: list[str]
    only_second: list[str]
    other_texts: list[str]
    agreement: Agreement


@tabcnn_cli.command("agreement")
def agreement_cli(
    first: Annotated[
        Path,
        typer.Argument(
            metavar="A", help="Annotation: a file in any format of `convert`, or a .spacy file"
        ),
    ],
    second: Annotated[
        Path | None,
        typer.Argument(
            metavar="B",
            help="Annotation of the same documents. Without it, A is an export of Label Studio or "
            "Prodigy with several annotators",
        ),
    ] = None,
    *,
    annotators: Annotated[
        list[str] | None,
        typer.Option(
            "--annotator",
            "-a",
            metavar="NAME",
            help="The annotators to compare, by id, e-mail address or name; with B, of A and of "
            "B; repeatable. Default: all of A, or the first of each text in A and in B",
        ),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            "--page",
            "-p",
            help="HTML file with the disagreements; of several pairs, a file for each pair",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="JSON file for all figures")
    ] = None,
    format_name: Annotated[
        str | None, typer.Option("--format", "-f", help="Annotation format of A and B")
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            help="Pipeline (name or folder) or language whose tokenizer splits raw text",
        ),
    ] = "en",
) -> None:
    """
    Measure the agreement of two annotations of the same documents.

    Precision, recall and F1 of entities and of relations, as if A were the gold
    annotation: F1 is the same in both directions. Strict (boundaries and types),
    boundaries alone, types alone, and each label. Cohen's kappa of the entity types
    of tokens. Documents match by their text; documents that only one has are
    reported.

    EXAMPLES:

    spacy tabcnn agreement ada.jsonl bob.jsonl --page disagreements.html

    spacy tabcnn agreement export.json --output agreement.json
    """
    sources = [first]
    if second is not None:
        sources.append(second)
    try:
        for source in sources:
            _check_source(source)
        for path in filter(None, [page, output]):
            check_output(path, [Kind.PIPELINE, Kind.CORPUS, Kind.CONFIG])
        check_written(filter(None, [page, output]), sources)
        nlp = load_tokenizer(model)
        sides = _read_sides(sources, annotators or (), nlp, format_name)
        results = list(_compare_all(sides, page, sources))
        if output is not None:
            write_json(output, {"pairs": results})
    except (ImportError, OSError, ValueError) as err:
        msg.fail("Could not compare", str(err), exits=1)
    for result in results:
        _print_result(result)
    if output is not None:
        msg.good(f"Saved the figures to {output}")


def compare(first: Sequence[Doc], second: Sequence[Doc]) -> tuple[Matching, Agreement]:
    """Compare two annotations.

    first (Sequence[Doc]): The documents of the first annotation.
    second (Sequence[Doc]): The documents of the second annotation.
    RETURNS (tuple[Matching, Agreement]): The documents that both have and the others, and the
        figures.
    RAISES (ValueError): If they have no document in common.
    """
    matching = match_documents(first, second)
    if not matching.pairs:
        raise ValueError(
            f"the annotations have no text in common ({len(first)} and {len(second)} documents). "
            "Compare annotations of the same documents"
        )
    return matching, measure_agreement(matching.pairs)


def _check_source(source: Path) -> None:
    """Check that a source exists and is neither a pipeline nor a config."""
    found = find_kind(source)
    if found is Kind.PIPELINE or found is Kind.CONFIG:
        raise ValueError(f"{source} is {found.value}, not a file or folder of annotations")
    if not source.exists():
        raise ValueError(f"{source}: no such file or folder. Check the path")


def _read_sides(
    sources: Sequence[Path], annotators: Sequence[str], nlp: Language, format_name: str | None
) -> list[_Side]:
    """Read the annotations to compare: of two files, or of the annotators of one file."""
    if len(sources) == 1:
        return _read_annotators(sources[0], annotators, nlp, format_name)
    if annotators and len(annotators) != 2:
        raise ValueError(
            f"--annotator is given {len(annotators)} times; expected the annotator of A and the "
            "annotator of B, or none"
        )
    sides = []
    for source, annotator in zip(sources, annotators or [FIRST_ANNOTATOR] * 2, strict=True):
        sides.append(_Side(str(source), _read(source, nlp, format_name, annotator)))
    return sides


def _read_annotators(
    source: Path, annotators: Sequence[str], nlp: Language, format_name: str | None
) -> list[_Side]:
    """Read the annotations of several annotators in one file."""
    if is_corpus(source):
        raise ValueError(f"{source}: a corpus names no annotators. Give two files to compare")
    counts = list_annotators(source, format_name=format_name)
    if "" in counts:
        msg.warn(f"{counts.pop('')} annotations without the name of an annotator left out")
    names = list(annotators or counts)
    if annotators and len(set(annotators)) < max(2, len(annotators)):
        raise ValueError(
            f"--annotator is given {len(annotators)} times, for {len(set(annotators))} annotator; "
            f"name at least two different ones of {', '.join(counts)}"
        )
    if len(names) < 2:
        raise ValueError(
            f"{source}: has annotations of {len(counts)} annotators ({', '.join(counts) or 'none'})"
            "; expected at least two. Give a second file, or export all annotators"
        )
    sides = []
    for name in names:
        docs = _read(source, nlp, format_name, name)
        if not docs:
            raise ValueError(
                f"{source}: no annotation of {name!r}. Its annotators are: {', '.join(counts)}"
            )
        sides.append(_Side(name, docs))
    return sides


def _read(source: Path, nlp: Language, format_name: str | None, annotator: str) -> list[Doc]:
    """Read the documents of an annotation, and print what was left out."""
    if format_name is None and is_corpus(source):
        return list(read_corpus(source, nlp))
    options = ReadingOptions(align=Alignment.EXPAND, annotator=annotator)
    docs, report = read_annotations(source, nlp, format_name=format_name, options=options)
    _print_report(report, source)
    return docs


def _compare_all(
    sides: Sequence[_Side], page: Path | None, sources: Sequence[Path]
) -> Iterator[PairAgreement]:
    """Compare each two annotations, and write a page for each pair if one is wanted."""
    pairs = list(combinations(sides, 2))
    pages: list[Path | None] = [None] * len(pairs)
    if page is not None:
        pages = _name_pages(page, pairs)
        check_written(filter(None, pages), sources)
    found_any = False
    for (first, second), path in zip(pairs, pages, strict=True):
        try:
            matching, agreement = compare(first.docs, second.docs)
        except ValueError as err:
            if len(pairs) == 1:
                raise
            msg.warn(f"{first.name} and {second.name}: {err}")
            continue
        found_any = True
        if path is not None:
            _write_page(path, first.name, second.name, matching)
        yield {
            "first": first.name,
            "second": second.name,
            "compared": len(matching.pairs),
            "only_first": list(map(name_document, matching.only_first)),
            "only_second": list(map(name_document, matching.only_second)),
            "other_texts": matching.other_texts,
            "agreement": agreement,
        }
    if not found_any:
        raise ValueError("no two annotators have a text in common. Compare annotations of one text")


def _name_pages(page: Path, pairs: Sequence[tuple[_Side, _Side]]) -> list[Path | None]:
    """Name the pages of pairs after their annotators; the page of a single pair has its own name.

    A name that another pair has too gets a number. Disks may ignore case.
    """
    if len(pairs) == 1:
        return [page]
    names = []
    for first, second in pairs:
        names.append(re.sub(r"[^\w@.-]+", "_", f"{page.stem}-{first.name}-{second.name}"))
    counts = Counter(map(str.casefold, names))
    pages: list[Path | None] = []
    for number, name in enumerate(names, start=1):
        if counts[name.casefold()] > 1:
            name = f"{name}-{number}"
        pages.append(page.with_name(f"{name}{page.suffix}"))
    return pages


def _write_page(path: Path, first: str, second: str, matching: Matching) -> None:
    from ..visual.error_page import Wording, make_error_page

    kinds = {
        "missed": f"only {first}",
        "spurious": f"only {second}",
        "wrong type": "other type",
        "wrong direction": "other direction",
        "wrong boundary": "other boundary",
        "correct": "agreed",
    }
    wording = Wording(first, second, kinds)
    title = f"{first} and {second}: disagreements"
    html, _ = make_error_page(make_examples(matching.pairs), title=title, wording=wording)
    write_text(path, html)
    msg.good(f"Saved the disagreements to {path}")


# Messages.


def _print_report(report: ConversionReport, source: Path) -> None:
    for reason, count in report.dropped.items():
        example = f"First one: {report.examples[reason]}"
        msg.warn(f"{source}: {count} left out, {reason.unit} {reason.text}", example)
    for name, count in report.ignored.items():
        if name == OTHER_ANNOTATORS:
            continue  # they are compared by themselves, unless the user chose others
        msg.info(f"{source}: not read: {name} ({count})")


def _print_result(result: PairAgreement) -> None:
    msg.divider(f"{result['first']} and {result['second']}")
    msg.info(f"{result['compared']} documents compared")
    for name, documents in (
        (result["first"], result["only_first"]),
        (result["second"], result["only_second"]),
    ):
        if documents:
            msg.warn(f"{len(documents)} documents only in {name}: {_list(documents)}")
    if result["other_texts"]:
        msg.warn(f"Ids with different texts, not compared: {_list(result['other_texts'])}")
    agreement = result["agreement"]
    _print_unit("Entities", agreement["entities"])
    _print_unit("Relations", agreement["relations"])
    kappa = "not defined, since all have one type"
    if not agreement["tokens"]:
        kappa = "not defined, since none has its type annotated in both"
    if agreement["kappa"] is not None:
        kappa = f"{agreement['kappa']:.3f}"
    print(f"Cohen's kappa of {agreement['tokens']} tokens: {kappa}")


def _list(documents: Sequence[str]) -> str:
    shown = ", ".join(documents[:_MAX_NAMED])
    if len(documents) > _MAX_NAMED:
        shown += f" and {len(documents) - _MAX_NAMED} more"
    return shown


def _print_unit(title: str, unit: UnitAgreement) -> None:
    if not unit["documents"]:
        msg.warn(f"{title}: no document has them annotated in both")
        return
    rows: list[tuple[str, ...]] = []
    for label, figures in unit["strict"]["per_type"].items():
        rows.append((label, *_show_figures(figures)))
    rows.append(("all, strict", *_show_figures(unit["strict"])))
    rows.append(("all, boundaries", *_show_figures(unit["boundaries"])))
    msg.table(
        rows, header=(title, "P", "R", "F"), divider=True, aligns=("l", "r", "r", "r"), max_col=60
    )
    shares = f"Same type where only types can differ: {_show(unit['types'])}"
    if unit["directions"] is not None:
        shares += f"; same direction: {_show(unit['directions'])}"
    print(shares)


def _show_figures(figures: Figures | Mapping[str, float]) -> tuple[str, str, str]:
    return _show(figures["p"], "-"), _show(figures["r"], "-"), _show(figures["f"], "-")


def _show(share: float | None, undefined: str = "not defined") -> str:
    if share is None:
        return undefined
    return format_percent(share)

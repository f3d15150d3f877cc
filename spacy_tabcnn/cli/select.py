"""`spacy tabcnn select`: the documents of a pool to annotate next."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from spacy.language import Language
from spacy.tokens import Doc
from tqdm import tqdm
from wasabi import msg

from ..bulk.pool import Pool, is_annotated, read_pool
from ..bulk.selection import (
    ProgressBar,
    Selection,
    check_format,
    drop_known,
    get_scores_path,
    select_documents,
    write_selection,
)
from ..corpora.brat import RENAMED
from ..corpora.conversion import ConversionReport, Reason
from ..corpora.options import DEFAULT_OPTIONS, ReadingOptions
from ..evaluation.selection import DIVERSITY, MEASURES, Measure
from ..pipeline.loading import load_pipeline
from ._app import tabcnn_cli
from ._arguments import BRAT_SUFFIXES, Kind, check_kind, check_output, check_written, use_gpu

_MEASURES = {str(measure): measure for measure in MEASURES}


@tabcnn_cli.command("select")
def select_cli(
    model: Annotated[str, typer.Argument(help="Model name or path")],
    pool: Annotated[
        Path,
        typer.Argument(
            help="Documents to choose from: a .spacy file or a folder of them, an annotation file, "
            "or raw texts (.jsonl, .ndjson, .txt, .csv, .tsv or .parquet)"
        ),
    ],
    output: Annotated[
        Path, typer.Argument(metavar="OUT", help="File (brat: or folder) to write; made if needed")
    ],
    *,
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="Number of documents")] = 50,
    committee: Annotated[
        list[str] | None,
        typer.Option(
            "--committee",
            "-c",
            metavar="MODEL",
            help="A further model: select documents about which the models disagree; repeatable",
        ),
    ] = None,
    measure: Annotated[
        str,
        typer.Option("--measure", help="Measure of uncertainty: margin or entropy"),
    ] = "margin",
    diversity: Annotated[
        float,
        typer.Option(
            "--diversity",
            "-d",
            min=1,
            help="Candidates for each document, of which those that are far apart are chosen; 1: "
            "the scores alone decide",
        ),
    ] = DIVERSITY,
    quotas: Annotated[
        list[str] | None,
        typer.Option(
            "--quota",
            "-q",
            metavar="LABEL=N",
            help="Minimum number of documents with this predicted label; repeatable",
        ),
    ] = None,
    exclude: Annotated[
        list[Path] | None,
        typer.Option(
            "--exclude",
            "-x",
            metavar="FILE",
            help="Documents that are annotated already, in any format of POOL: leave out their "
            "texts; repeatable",
        ),
    ] = None,
    unannotated: Annotated[
        bool,
        typer.Option("--unannotated", "-u", help="Leave out documents of POOL with annotation"),
    ] = False,
    predictions: Annotated[
        bool,
        typer.Option("--predictions", "-p", help="Write the predictions of MODEL, to be corrected"),
    ] = False,
    format_name: Annotated[
        str | None,
        typer.Option(
            "--format", "-f", help="Format of POOL: one of `convert`, or text for raw texts"
        ),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", "-t", help="Format of OUT: one of `convert`")
    ] = None,
    text_field: Annotated[
        str | None,
        typer.Option("--text-field", help="Field with the text, in POOL and in --exclude"),
    ] = None,
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU ID or -1 for CPU")] = -1,
) -> None:
    """
    Select the documents to annotate next.

    Those about which the model is most uncertain and that differ from each other.
    OUT has them in a format for an annotation tool, without annotation unless
    --predictions is set. OUT.scores.jsonl has the score, the predicted labels and
    the position of each. The same command selects the same documents.

    EXAMPLES:

    spacy tabcnn select training/mine/model-best texts.jsonl next.json --to
    labelstudio -n 50 --exclude corpus/train.spacy

    spacy tabcnn select training/a/model-best texts.jsonl next.spacy --committee
    training/b/model-best --quota born_in=10
    """
    use_gpu(gpu_id, silent=False)
    others = list(committee or ())
    known = list(exclude or ())
    try:
        for name in (model, *others):
            check_kind(name, Kind.PIPELINE, others=[pool, output])
        check_output(output, [Kind.PIPELINE, Kind.CONFIG])
        _check_files(pool, output, [model, *others], known, to)
        selection = select(
            [model, *others],
            pool,
            output,
            n=n,
            measure=_parse_measure(measure),
            diversity=diversity,
            quotas=_parse_quotas(quotas or ()),
            exclude=known,
            unannotated=unannotated,
            predictions=predictions,
            format_name=format_name,
            to=to,
            text_field=text_field,
            progress=_show_progress,
        )
    except (ImportError, OSError, ValueError) as err:
        msg.fail("Could not select", str(err), exits=1)
    _print_selection(selection, n, output)


def select(
    models: Sequence[str],
    pool: Path,
    output: Path,
    *,
    n: int = 50,
    measure: Measure = "margin",
    diversity: float = DIVERSITY,
    quotas: Mapping[str, int] | None = None,
    exclude: Iterable[Path] = (),
    unannotated: bool = False,
    predictions: bool = False,
    format_name: str | None = None,
    to: str | None = None,
    text_field: str | None = None,
    progress: ProgressBar | None = None,
) -> Selection:
    """Select the documents of a pool to annotate next, write them, and print what was left out.

    models (Sequence[str]): Names or folders of the pipelines, at least one.
    pool (Path): The pool; see `read_pool`.
    output (Path): The file to write; see `write_selection`.
    n (int): Number of documents.
    measure (str): "margin" or "entropy".
    diversity (float): Candidates for each document; see `choose_documents`.
    quotas (Mapping[str, int] | None): Minimum number of documents with a predicted label.
    exclude (Iterable[Path]): Documents that are annotated already, as files like `pool`.
    unannotated (bool): Leave out documents of the pool with annotation.
    predictions (bool): Write the predictions of the first model.
    format_name (str | None): Format of the pool; None to detect it.
    to (str | None): Format of the output; None to take it from the suffix.
    text_field (str | None): The field that holds the text, in the pool and in `exclude`.
    progress (ProgressBar | None): Wraps the stream of documents to show the progress.
    RETURNS (Selection): The documents.
    RAISES (ImportError): If a file is Parquet and pyarrow is missing.
    RAISES (OSError): If there is no such pipeline, or a file cannot be written.
    RAISES (ValueError): If an option is malformed, or the pool cannot be read or holds no document
        to select.
    """
    output_format = check_format(output, to)
    pipelines = list(map(load_pipeline, models))
    options = ReadingOptions(text_field=text_field)
    found = read_pool(pool, pipelines[0], format_name=format_name, options=options)
    known: list[Doc] = []
    for path in exclude:
        known += _read_excluded(path, pipelines[0], options)
    docs = _leave_out(found, known, unannotated)
    _print_left_out(found)
    if not docs:
        raise ValueError(f"{pool}: holds no document to select from. Add documents")
    selection = select_documents(
        pipelines, docs, n, measure=measure, diversity=diversity, quotas=quotas, progress=progress
    )
    selection = _restore_positions(selection, found)
    model = None
    if predictions:
        model = pipelines[0]
    report = write_selection(output, selection, format_name=output_format, model=model)
    if report is not None:
        _print_report(report)
    return selection


def _read_excluded(path: Path, nlp: Language, options: ReadingOptions) -> list[Doc]:
    """Read the documents of --exclude, and print those that cannot be read.

    Their text is in the field of the pool, or where the format has it.
    """
    problems = []
    for choices in (options, DEFAULT_OPTIONS):
        try:
            excluded = read_pool(path, nlp, options=choices)
        except ValueError as err:
            problems.append(str(err))
            continue
        if excluded.docs or not excluded.left_out:
            for reason, count in excluded.left_out.items():
                example = excluded.examples.get(reason, "")
                msg.warn(f"{count} documents of --exclude {path} are left out: {reason}", example)
            return excluded.docs
        problems += excluded.examples.values()
    raise ValueError(f"--exclude {path}: none of its documents can be read. {problems[0]}")


def _leave_out(pool: Pool, known: Iterable[Doc], unannotated: bool) -> list[Doc]:
    """Return the documents of a pool that are to be annotated, and count the others."""
    docs = pool.docs
    if unannotated:
        docs = [doc for doc in docs if not is_annotated(doc)]
        pool.left_out["with annotation"] += len(pool.docs) - len(docs)
    docs, n_known, n_repeated = drop_known(docs, known)
    pool.left_out["with a text of --exclude"] += n_known
    pool.left_out["with the text of an earlier document"] += n_repeated
    return docs


def _restore_positions(selection: Selection, pool: Pool) -> Selection:
    """Return a selection with the positions of documents in the file of the pool."""
    position_of = dict(zip(map(id, pool.docs), pool.positions, strict=True))
    documents = []
    for selected in selection.documents:
        documents.append(selected._replace(position=position_of[id(selected.doc)]))
    return selection._replace(documents=documents)


def _check_files(
    pool: Path, output: Path, models: Iterable[str], exclude: Iterable[Path], to: str | None
) -> None:
    """Check that nothing that is read is replaced, brat's pairs of files included."""
    outputs = [output, get_scores_path(output)]
    if output.suffix in BRAT_SUFFIXES or to == "brat":
        outputs += map(output.with_suffix, BRAT_SUFFIXES)
    check_written(dict.fromkeys(outputs), [pool, *models, *exclude])


def _parse_measure(text: str) -> Measure:
    if text not in _MEASURES:
        raise ValueError(f"--measure is {text!r}; expected {' or '.join(_MEASURES)}")
    return _MEASURES[text]


def _parse_quotas(texts: Iterable[str]) -> dict[str, int]:
    quotas = {}
    for text in texts:
        # A label may hold an equals sign.
        label, _, number = text.rpartition("=")
        if not label or not number.isdecimal():
            raise ValueError(f"--quota is {text!r}; expected LABEL=N, for example born_in=10")
        quotas[label] = int(number)
    return quotas


def _show_progress(docs: Iterable[Doc]) -> Iterable[Doc]:
    return tqdm(docs, unit="doc")


def _print_left_out(pool: Pool) -> None:
    for reason, count in (+pool.left_out).items():
        msg.warn(f"{count} documents left out: {reason}", pool.examples.get(reason, ""))


def _print_report(report: ConversionReport) -> None:
    """Print what the format could not hold, except for annotation that is to be made."""
    for reason, count in report.dropped.items():
        if reason not in (Reason.NO_ENTITY_ANNOTATION, Reason.NO_RELATION_ANNOTATION):
            msg.warn(f"{count} times, a {reason.unit} {reason.text}", report.examples[reason])
    if report.noted[RENAMED]:
        msg.warn(f"{report.noted[RENAMED]} {RENAMED}")


def _print_selection(selection: Selection, n: int, output: Path) -> None:
    for label, count in selection.lacking.items():
        msg.warn(f"The quota of {label!r} lacks {count} documents: too few have this label")
    found = selection.documents
    if len(found) < n:
        msg.warn(f"The pool has {len(found)} documents to select, fewer than {n}")
    highest, lowest = found[0].uncertainty.score, found[-1].uncertainty.score
    msg.good(
        f"{len(found)} documents in {output}",
        f"Scores from {highest:.3f} to {lowest:.3f} in {get_scores_path(output)}",
    )

"""`spacy tabcnn convert`: annotation files to .spacy and back."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NamedTuple

import spacy
import typer
from spacy.language import Language
from spacy.tokens import Doc
from wasabi import msg

from ..corpora.annotators import list_annotators
from ..corpora.conversion import Alignment, Change, ConversionReport
from ..corpora.docbin import DOCBIN_SUFFIX, read_docbin, write_docbin
from ..corpora.folds import make_folds, read_folds, write_folds
from ..corpora.formats import (
    FORMATS,
    OUTPUT_FORMATS,
    check_options,
    read_annotations,
    write_annotations,
)
from ..corpora.options import (
    DEFAULT_OPTIONS,
    FIRST_ANNOTATOR,
    OTHER_ANNOTATORS,
    Overlap,
    ReadingOptions,
)
from ..corpora.preannotation import DEFAULT_MODEL_VERSION, Written
from ..corpora.tokenizer import (
    check_folder,
    extend_tokenizer,
    learn_cuts,
    load_tokenizer,
    measure_tokenizer,
    write_tokenizer,
)
from ..files import is_same
from ._app import tabcnn_cli
from ._arguments import BRAT_SUFFIXES, Kind, check_direction, check_written, find_kind

_FORMAT_NAMES = ", ".join(FORMATS)
# If so many entities were widened, and more than this share, their offsets are probably wrong.
_MIN_WIDENED = 5
_MAX_WIDENED = 0.2


class _Reading(NamedTuple):
    """The way to read annotation files.

    nlp (Language): Its tokenizer splits raw text.
    format_name (str | None): The annotation format; None to detect it.
    strict (bool): Stop at the first entity or relation that cannot be kept.
    options (ReadingOptions): The choices of the user.
    """

    nlp: Language
    format_name: str | None
    strict: bool
    options: ReadingOptions


class _Writing(NamedTuple):
    """The way to write annotation files.

    written_as (Written | None): Finished annotations or predictions; None to decide by the
        documents.
    model_version (str): The name of the model, in predictions.
    """

    written_as: Written | None
    model_version: str


@tabcnn_cli.command("convert")
def convert_cli(
    inputs: Annotated[list[Path], typer.Argument(help="Files (brat: or folders) to read")],
    output: Annotated[Path, typer.Argument(help="File (brat: or folder) to write; made if needed")],
    *,
    format_name: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            help="Annotation format of the input, or of the output if the input is .spacy",
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            "-t",
            help="Annotation format of the output, if the input is an annotation file too",
        ),
    ] = None,
    written_as: Annotated[
        Written | None,
        typer.Option(
            "--as",
            help="Write finished annotations, or predictions with scores (labelstudio, prodigy). "
            "Default: predictions if a model predicted a document",
        ),
    ] = None,
    model_version: Annotated[
        str, typer.Option("--model-version", help="Name of the model, in predictions")
    ] = DEFAULT_MODEL_VERSION,
    lang: Annotated[
        str,
        typer.Option(
            "--lang",
            "-l",
            help="Language whose tokenizer splits raw text (brat, doccano, labelstudio, and "
            "prodigy without tokens)",
        ),
    ] = "en",
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            help="Pipeline (name or folder) or language whose tokenizer splits raw text; "
            "replaces --lang",
        ),
    ] = None,
    align: Annotated[
        Alignment | None,
        typer.Option(
            "--align",
            "-a",
            help="Entities that begin or end inside a token: leave them out (strict), widen them "
            "to whole tokens (expand) or cut the tokens (split). Default: expand, or strict with "
            "--strict",
        ),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            "--tokenizer",
            metavar="DIR",
            help="With --align split: folder for a tokenizer that learns the cuts, for prediction",
        ),
    ] = None,
    overlap: Annotated[
        Overlap,
        typer.Option(
            "--overlap",
            help="The entity that stays of overlapping entities: the longest, the shortest, or the "
            "first in the file",
        ),
    ] = Overlap.LONGEST,
    text_field: Annotated[
        str | None,
        typer.Option(
            "--text-field",
            metavar="NAME",
            help="Field with the text of a document (doccano, labelstudio, prodigy); found if not "
            "given. dialogue.utterance: the field of Label Studio's task and of its paragraphs",
        ),
    ] = None,
    annotator: Annotated[
        str,
        typer.Option(
            "--annotator",
            metavar="NAME",
            help="The annotation to read of a text with several: first, all (each as a document), "
            "or the annotator's id, e-mail address or name (labelstudio, prodigy)",
        ),
    ] = FIRST_ANNOTATOR,
    predictions: Annotated[
        bool,
        typer.Option(
            "--predictions",
            help="Read the prediction of a task without a completed annotation (labelstudio)",
        ),
    ] = False,
    event_arguments: Annotated[
        bool,
        typer.Option(
            "--event-arguments",
            help="Read the arguments of events as relations of their triggers (brat)",
        ),
    ] = False,
    utf16: Annotated[
        bool,
        typer.Option(
            "--utf16",
            help="Offsets count UTF-16 code units, as JavaScript does, and not characters",
        ),
    ] = False,
    skip_bad: Annotated[
        bool,
        typer.Option("--skip-bad", help="Leave out malformed records, and count and name them"),
    ] = False,
    strict: Annotated[
        bool,
        typer.Option("--strict", "-S", help="Stop if an entity or a relation cannot be kept"),
    ] = False,
    folds: Annotated[
        str | None,
        typer.Option(
            "--folds",
            metavar="N or FILE",
            help="Number of folds, or JSON file with the ids of each fold's documents: OUTPUT is a "
            "folder of folds",
        ),
    ] = None,
    expect: Annotated[
        str | None,
        typer.Option(
            "--expect",
            "-e",
            metavar="N/N/N",
            help="Expected sentences, entity types and relation types: warn if the result differs",
        ),
    ] = None,
) -> None:
    """
    Convert entities and relations between annotation files and .spacy files.

    Counts the entities and relations that were kept and left out. Formats: spert
    (SpERT's .json), tablert (.json of TablERT and TablERT-CNN), doccano (doccano's
    .jsonl), dygiepp (.json or .jsonl of DyGIE++, SciERC and PL-Marker: documents
    with sentence boundaries), brat (a folder of .txt and .ann files, or one pair),
    prodigy (.jsonl of Prodigy's rel.manual and ner.manual), labelstudio (Label
    Studio's .json export). The command detects the format of an input unless
    --format names it. Several inputs are joined into one output.

    Relations of a record without the key of relations stay unset. All malformed
    records are listed in one run; --skip-bad leaves them out.

    EXAMPLES:

    spacy tabcnn convert train.json train.spacy --expect 922/4/5

    spacy tabcnn convert train.json dev.json train_dev.spacy

    spacy tabcnn convert predictions.spacy predictions.json --format spert

    spacy tabcnn convert predictions.spacy tasks.json --format labelstudio --as
    predictions

    spacy tabcnn convert train.json train_tags.json --to tablert

    spacy tabcnn convert all.json corpus/all --folds 10
    """
    try:
        _check_inputs(inputs, output)
        options = ReadingOptions(
            skip_bad=skip_bad,
            overlap=overlap,
            text_field=text_field,
            annotator=annotator,
            predictions=predictions,
            utf16=utf16,
            event_arguments=event_arguments,
        )
        convert(
            inputs,
            output,
            format_name=format_name,
            to=to,
            lang=lang,
            strict=strict,
            folds=folds,
            expect=expect,
            model=model,
            align=align,
            tokenizer=tokenizer,
            options=options,
            written_as=written_as,
            model_version=model_version,
        )
    except (ImportError, OSError, ValueError) as err:
        first, _, others = str(err).partition("\n")
        msg.fail("Could not convert", first)
        # The message about several malformed records has a line for each.
        for line in others.splitlines():
            msg.text(line)
        raise SystemExit(1) from err


def convert(
    inputs: Sequence[Path],
    output: Path,
    *,
    format_name: str | None = None,
    to: str | None = None,
    lang: str = "en",
    strict: bool = False,
    folds: str | Path | int | None = None,
    expect: str | None = None,
    model: str | None = None,
    align: Alignment | None = None,
    tokenizer: Path | None = None,
    options: ReadingOptions = DEFAULT_OPTIONS,
    written_as: Written | None = None,
    model_version: str = DEFAULT_MODEL_VERSION,
) -> ConversionReport:
    """Convert annotation files to .spacy or back, and print the counts.

    inputs (Sequence[Path]): The files to read; their documents are joined.
    output (Path): The file to write; its folder is made if needed.
    format_name (str | None): Annotation format of the inputs, or of the output if the inputs are
        .spacy files; detected from the file if None.
    to (str | None): Annotation format of the output if neither side is a .spacy file.
    lang (str): Language whose tokenizer splits raw text.
    strict (bool): Stop if an entity or a relation cannot be kept.
    folds (str | Path | int | None): Number of folds with alike shares of each label, or JSON file
        with the ids of the documents of each fold. The output is then a folder with the folders
        0, 1, ... that hold train.spacy and test.spacy each.
    expect (str | None): "sentences/entity types/relation types" to compare with the result.
    model (str | None): Name or folder of a pipeline, or a language. Its tokenizer splits raw text,
        instead of the tokenizer of `lang`.
    align (Alignment | None): The rule for entities that begin or end inside a token; None for
        "expand", or for "strict" in strict mode.
    tokenizer (Path | None): Folder for a tokenizer that learns the cuts of the rule "split". The
        documents get its tokens.
    options (ReadingOptions): The other choices of reading; `align` replaces its rule.
    written_as (Written | None): Finished annotations, or predictions with scores; None as in
        `write_annotations`.
    model_version (str): The name of the model, in predictions.
    RETURNS (ConversionReport): The counts of kept and left-out entities and relations.
    RAISES (OSError): If the output cannot be written; an old one is kept.
    RAISES (ValueError): If an input or an option is malformed, an output is an input, or in strict
        mode.
    """
    expected = _parse_expected(expect)
    _check_written(inputs, output, model=model, folds=folds, tokenizer=tokenizer)
    options = replace(options, align=align or _choose_alignment(strict))
    nlp = load_tokenizer(model) if model else spacy.blank(lang)
    reading = _Reading(nlp, format_name, strict, options)
    writing = _Writing(written_as, model_version)
    _check_written_as(output, written_as, to, folds)
    if _are_docbins(inputs) and replace(options, align=DEFAULT_OPTIONS.align) != DEFAULT_OPTIONS:
        raise ValueError(
            f"{_join_names(inputs)}: the options of reading, such as --skip-bad and --annotator, "
            "are for annotation files. A .spacy file is read as it is"
        )
    if tokenizer is not None:
        reading = _extend_tokenizer(inputs, reading, tokenizer)
    if folds is not None:
        _check_folds(inputs, to)
        report = _convert_to_folds(inputs, output, folds, reading)
    elif _are_docbins(inputs):
        report = _convert_from_docbin(inputs, output, to or format_name, reading, writing)
    elif output.suffix == DOCBIN_SUFFIX and to is None:
        report = _convert_to_docbin(inputs, output, reading)
    else:
        report = _convert_format(inputs, output, to, reading, writing)
    if expected is not None:
        _compare(report, expected)
    return report


def _check_inputs(inputs: Sequence[Path], output: Path) -> None:
    """Refuse inputs that hold no annotation, and inputs that are swapped with the output."""
    for path in inputs:
        found = find_kind(path)
        if found is Kind.PIPELINE or found is Kind.CONFIG:
            raise ValueError(
                f"{path} is {found.value}, not a file or folder of annotations. Name the pipeline "
                "whose tokenizer splits raw text with --model"
            )
    check_direction(inputs, output)


def _check_written(
    inputs: Sequence[Path],
    output: Path,
    *,
    model: str | None,
    folds: str | Path | int | None,
    tokenizer: Path | None,
) -> None:
    """Check that nothing that is read is replaced."""
    if tokenizer is not None and model is not None and is_same(tokenizer, model):
        raise ValueError(f"{tokenizer}: is the --model too. Name another folder for the tokenizer")
    outputs = [output]
    if output.suffix in BRAT_SUFFIXES:
        outputs = [output.with_suffix(suffix) for suffix in BRAT_SUFFIXES]
    read = [*inputs, model]
    if folds is not None:
        read.append(str(folds))
    check_written(outputs, read, replaced=filter(None, [tokenizer]))


def _choose_alignment(strict: bool) -> Alignment:
    if strict:
        return Alignment.STRICT
    return Alignment.EXPAND


def _extend_tokenizer(inputs: Sequence[Path], reading: _Reading, folder: Path) -> _Reading:
    """Write a tokenizer that learns the cuts of the inputs, and return the reading with it."""
    if reading.options.align is not Alignment.SPLIT or _are_docbins(inputs):
        raise ValueError(
            "--tokenizer learns the cuts of --align split in annotation files. Give an annotation "
            "file, and --align split"
        )
    check_folder(folder)
    docs, _ = _read_inputs(inputs, reading)
    cuts = learn_cuts(docs, reading.nlp)
    nlp = extend_tokenizer(reading.nlp, cuts)
    write_tokenizer(nlp, folder)
    msg.good(f"Tokenizer in {folder}, with {len(cuts)} rules for cuts")
    callback = {"@callbacks": "spacy.copy_from_base_model.v1", "tokenizer": str(folder)}
    msg.text(
        f"Convert other files with --model {folder}, and train with it: spacy train ... "
        f"--initialize.after_init '{json.dumps(callback)}'"
    )
    return reading._replace(nlp=nlp)


def _convert_to_folds(
    inputs: Sequence[Path], output: Path, folds: str | Path | int, reading: _Reading
) -> ConversionReport:
    ids_of_folds = None
    if not str(folds).isdecimal():
        ids_of_folds = read_folds(str(folds))
    docs, report = _read_inputs(inputs, reading)
    if ids_of_folds is None:
        n_folds = int(str(folds))
        make_folds(output, docs, n_folds)
    else:
        n_folds = len(ids_of_folds)
        write_folds(output, docs, ids_of_folds)
    _print_report(report, output)
    _print_missed(docs, reading)
    msg.good(f"{n_folds} folds in {output}, the folders 0 to {n_folds - 1}")
    if (output / str(n_folds)).exists():
        msg.warn(
            f"{output / str(n_folds)} is of another division",
            f"Remove the folders from {n_folds} on, or cross-validate with --n-folds {n_folds}",
        )
    return report


def _convert_to_docbin(inputs: Sequence[Path], output: Path, reading: _Reading) -> ConversionReport:
    docs, report = _read_inputs(inputs, reading)
    write_docbin(output, docs)
    _print_report(report, output)
    _print_missed(docs, reading)
    return report


def _convert_from_docbin(
    inputs: Sequence[Path],
    output: Path,
    format_name: str | None,
    reading: _Reading,
    writing: _Writing,
) -> ConversionReport:
    format_name = _get_output_format(output, format_name)
    docs: list[Doc] = []
    for path in inputs:
        docs.extend(read_docbin(path, reading.nlp.vocab))
    report = write_annotations(
        output,
        docs,
        format_name=format_name,
        source=_join_names(inputs),
        strict=reading.strict,
        **writing._asdict(),
    )
    _print_report(report, output)
    return report


def _convert_format(
    inputs: Sequence[Path], output: Path, to: str | None, reading: _Reading, writing: _Writing
) -> ConversionReport:
    docs, report = _read_inputs(inputs, reading)
    written = write_annotations(
        output,
        docs,
        format_name=_get_output_format(output, to),
        source=_join_names(inputs),
        strict=reading.strict,
        **writing._asdict(),
    )
    # An entity is kept if it could be written. Left-out parts of reading and writing add up.
    report.n_docs, report.entities, report.relations = 0, Counter(), Counter()
    report.merge(written)
    _print_report(report, output)
    return report


def _read_inputs(inputs: Sequence[Path], reading: _Reading) -> tuple[list[Doc], ConversionReport]:
    docs: list[Doc] = []
    report = ConversionReport()
    problems = []
    for path in inputs:
        try:
            check_options(path, reading.format_name, reading.options)
            read, read_report = read_annotations(
                path,
                reading.nlp,
                format_name=reading.format_name,
                strict=reading.strict,
                options=reading.options,
            )
        except ValueError as err:
            problems.append(str(err))
        else:
            docs.extend(read)
            report.merge(read_report)
    if problems:
        raise ValueError("\n".join(problems))
    if not report.n_docs and report.ignored[OTHER_ANNOTATORS]:
        _refuse_annotator(inputs, reading)
    return docs, report


def _refuse_annotator(inputs: Sequence[Path], reading: _Reading) -> None:
    """Name the annotators of inputs in which the wanted one has annotated nothing."""
    names: dict[str, None] = {}
    for path in inputs:
        names.update(dict.fromkeys(list_annotators(path, format_name=reading.format_name)))
    shown = ", ".join(name or "one without a name" for name in names)
    raise ValueError(
        f"--annotator is {reading.options.annotator!r}, who has annotated nothing in "
        f"{_join_names(inputs)}. The annotators are: {shown}"
    )


def _join_names(inputs: Sequence[Path]) -> str:
    return ", ".join(map(str, inputs))


def _are_docbins(inputs: Sequence[Path]) -> bool:
    """Check whether the inputs are .spacy files; all of them must be of one kind."""
    kinds = {path.suffix == DOCBIN_SUFFIX for path in inputs}
    if len(kinds) > 1:
        raise ValueError(
            "the inputs mix .spacy and annotation files. Convert them one kind at a time"
        )
    return kinds == {True}


def _check_written_as(
    output: Path, written_as: Written | None, to: str | None, folds: str | Path | int | None
) -> None:
    """Refuse predictions in a .spacy file, which has them as they are."""
    is_docbin = output.suffix == DOCBIN_SUFFIX and to is None
    if written_as is not None and (is_docbin or folds is not None):
        raise ValueError(
            f"{output}: --as is for annotation files. A .spacy file keeps scores without it"
        )


def _check_folds(inputs: Sequence[Path], to: str | None) -> None:
    if _are_docbins(inputs) or to is not None:
        raise ValueError(
            "--folds makes .spacy files of annotation files. Give annotation files, and no --to"
        )


def _get_output_format(output: Path, format_name: str | None) -> str:
    """Return the annotation format to write, from an option or the extension of the output."""
    if output.suffix == DOCBIN_SUFFIX:
        raise ValueError(
            f"{output}: a .spacy file cannot hold the format of an option, nor the documents of "
            "another .spacy file. Give an annotation file on one side"
        )
    if format_name is None:
        format_name = OUTPUT_FORMATS.get(output.suffix.lower())
    if format_name is None:
        raise ValueError(f"{output}: cannot tell the format to write. Name it: {_FORMAT_NAMES}")
    return format_name


def _parse_expected(expect: str | None) -> tuple[int, int, int] | None:
    if expect is None:
        return None
    parts = expect.split("/")
    if len(parts) != 3 or not all(part.strip().isdecimal() for part in parts):
        raise ValueError(
            f"--expect is {expect!r}; expected sentences/entity types/relation types, for example "
            "922/4/5"
        )
    return int(parts[0]), int(parts[1]), int(parts[2])


def _print_report(report: ConversionReport, output: Path) -> None:
    msg.good(f"{report.n_docs} documents in {output}")
    if not report.n_docs:
        msg.warn("The output holds no document")
    _print_kept("Entities", report.entities, report.n_entities_read)
    _print_kept("Relations", report.relations, report.n_relations_read)
    if report.changed:
        _print_changed(report)
    _print_dropped(report)
    for name, count in sorted(report.noted.items()):
        msg.info(f"{count} {name}")
    if report.ignored:
        ignored = ", ".join(f"{name} ({count})" for name, count in sorted(report.ignored.items()))
        msg.info(f"Not read: {ignored}")
    if report.bad_records:
        msg.warn(f"Malformed records left out ({len(report.bad_records)}):")
        for problem in report.bad_records:
            msg.text(f"- {problem}")


def _print_kept(title: str, counts: Counter[str], n_read: int) -> None:
    rows = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rows.append(("all kept", counts.total()))
    rows.append(("all read", n_read))
    msg.table(rows, header=(title, "Count"), divider=True, aligns=("l", "r"))


def _print_dropped(report: ConversionReport) -> None:
    if report.dropped:
        _print_reasons(report)
    elif report.bad_records:
        msg.warn("No entity or relation of the other records left out")
    elif report.ignored:
        msg.good("No entity or relation left out")
    else:
        msg.good("Nothing left out")


def _print_reasons(report: ConversionReport) -> None:
    dropped = sorted(report.dropped.items(), key=lambda item: (item[0].unit, -item[1]))
    rows = [(f"{reason.unit} {reason.text}", count) for reason, count in dropped]
    msg.table(rows, header=("Left out", "Count"), divider=True, aligns=("l", "r"), max_col=80)
    for reason, _ in dropped:
        msg.warn(f"First {reason.unit} that {reason.text}:", report.examples[reason])
        if reason.advice:
            msg.text(f"{reason.advice}.")


def _print_changed(report: ConversionReport) -> None:
    rows = []
    for change, count in report.changed.most_common():
        rows.append((f"{change.unit} {change.text}", count))
    msg.table(
        rows, header=("Kept with a change", "Count"), divider=True, aligns=("l", "r"), max_col=80
    )
    for change in report.changed:
        msg.info(f"First {change.unit} that {change.text}:", report.change_examples[change])
    n_widened = report.changed[Change.WIDENED]
    if n_widened >= max(_MIN_WIDENED, _MAX_WIDENED * report.n_entities_read):
        msg.warn(
            "Many entities were widened. Compare the example with the text: if the marked words "
            "are wrong, the offsets count something else than characters of this text"
        )


def _print_missed(docs: Sequence[Doc], reading: _Reading) -> None:
    """Report the entities of cut tokens that prediction would miss."""
    if reading.options.align is not Alignment.SPLIT:
        return
    fit = measure_tokenizer(docs, reading.nlp)
    if not fit.n_missed:
        msg.good("The tokenizer makes all cuts that the entities need")
        return
    msg.warn(
        f"The tokenizer makes {fit.n_missed} of {fit.n_entities} entities impossible to find in "
        f"raw text: they begin or end inside its tokens, such as {fit.example}",
        "The documents have tokens that are cut there, so scores on them are too high: score with "
        "--raw-text. --tokenizer DIR writes a tokenizer that learns the frequent cuts, and --align "
        "expand needs none",
    )


def _compare(report: ConversionReport, expected: tuple[int, int, int]) -> None:
    found = (
        ("sentences", report.n_docs),
        ("entity types", len(report.entities)),
        ("relation types", len(report.relations)),
    )
    counts = []
    differences = []
    for (name, count), other in zip(found, expected, strict=True):
        counts.append(f"{count} {name}")
        if count != other:
            differences.append(f"{count} {name} instead of {other}")
    if differences:
        msg.warn(f"Differs from the expected counts: {', '.join(differences)}")
    else:
        msg.good(f"As expected: {', '.join(counts)}")

"""The judgement of what a reader of annotation files makes of a file."""

import json
import re
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import spacy
from hypothesis import strategies as st
from spacy.tokens import Doc

from spacy_tabcnn.corpora.conversion import Alignment, ConversionReport, Reason
from spacy_tabcnn.corpora.docbin import read_docbin, write_docbin
from spacy_tabcnn.corpora.formats import FORMATS, read_annotations, write_annotations
from spacy_tabcnn.corpora.options import Overlap, ReadingOptions

from .campaign import find_origin
from .json_inputs import json_files
from .target import READ, REFUSED, Files, Finding, Target, write_files

NLP = spacy.blank("en")
OPTIONS = "options.json"
NAME = "input"

# A place inside a file, in a message.
_RECORD = re.compile(r"\b(line|document|sentence|task|record|byte|column) \d+")
# The problems of a whole file.
_WHOLE_FILE = re.compile(
    "cannot detect the annotation format|at its top level|not UTF-8 text, but|no such file|"
    "holds no relations|not a .spacy file|holds no documents|the file is empty"
)

_ONE_DOC_A_RECORD = ("doccano", "dygiepp", "spert", "tablert")


class Counts(NamedTuple):
    """The numbers of a file's parts, counted without the reader; None where it is not known."""

    n_docs: int | None
    n_entities: int | None
    n_relations: int | None


_OPTION_SETS = st.fixed_dictionaries(
    {},
    optional={
        "align": st.sampled_from([rule.value for rule in Alignment]),
        "overlap": st.sampled_from([rule.value for rule in Overlap]),
        "skip_bad": st.booleans(),
        "utf16": st.booleans(),
        "annotator": st.sampled_from(["all", "first", "ada"]),
        "predictions": st.booleans(),
        "event_arguments": st.booleans(),
        "text_field": st.sampled_from(["text", "body", "a.b", ""]),
        "written": st.sampled_from(sorted(FORMATS)),
        "detect": st.booleans(),
    },
)
OPTION_SETS = st.one_of(
    st.fixed_dictionaries({"written": st.sampled_from(sorted(FORMATS))}), _OPTION_SETS
)


@st.composite
def with_options(draw: st.DrawFn, files: st.SearchStrategy[Files]) -> Files:
    """Add options of reading to an input."""
    return {**draw(files), OPTIONS: json.dumps(draw(OPTION_SETS)).encode()}


@st.composite
def _name_file(draw: st.DrawFn, records: st.SearchStrategy[list]) -> Files:
    suffix, content = draw(json_files(records))
    return {f"{NAME}{suffix}": content}


def json_target(
    format_name: str,
    records: st.SearchStrategy[list],
    count: Callable[[list, ReadingOptions], Counts],
) -> Target:
    """Return the target of a format with records of JSON.

    format_name (str): The format.
    records (SearchStrategy[list]): Makes the records of a file.
    count (Callable): Counts the parts of decoded records.
    """

    def check(files: Files, folder: Path) -> str:
        return check_reader(
            format_name, files, folder, lambda path, options: _count_json(path, options, count)
        )

    return Target(with_options(_name_file(records)), check)


def check_reader(
    format_name: str,
    files: Files,
    folder: Path,
    count: Callable[[Path, ReadingOptions], Counts],
) -> str:
    """Read an annotation file and judge the answer."""
    chosen = json.loads(files[OPTIONS])
    written = chosen.pop("written", None)
    name = None if chosen.pop("detect", False) else format_name
    options = make_options(chosen)
    content = {key: value for key, value in files.items() if key != OPTIONS}
    write_files(content, folder / "in")
    path = find_input(folder / "in")
    try:
        docs, report = read_annotations(path, NLP, format_name=name, options=options)
    except ValueError as err:
        check_message(err, path)
        return REFUSED
    check_counts(docs, report)
    if name is not None:
        compare_counts(count(path, options), report)
        if options.skip_bad and name in _ONE_DOC_A_RECORD:
            check_skipped(path, report)
    check_strict(path, name, options, report)
    check_docbin(docs, folder)
    if written is not None:
        check_written(docs, written, folder)
    return READ


def make_options(chosen: dict) -> ReadingOptions:
    """Return the options of an input."""
    if "align" in chosen:
        chosen["align"] = Alignment(chosen["align"])
    if "overlap" in chosen:
        chosen["overlap"] = Overlap(chosen["overlap"])
    return ReadingOptions(**chosen)


def find_input(folder: Path) -> Path:
    """Return the only file of a folder, or the folder."""
    folder.mkdir(exist_ok=True)
    names = list(folder.iterdir())
    if len(names) == 1 and names[0].suffix not in (".ann", ".txt"):
        return names[0]
    return folder


def check_message(err: ValueError, path: Path) -> None:
    """Check that an error is one of the project's own, which names the file and the record."""
    message = str(err)
    origin = find_origin(err)
    if type(err) is not ValueError and type(err).__name__ != "LeftOutError":
        raise Finding(f"raw error from {origin}", repr(err)) from err
    if str(path) not in message:
        raise Finding(f"no file named, from {origin}", message[:500]) from err
    if not _RECORD.search(message) and not _WHOLE_FILE.search(message) and ".ann" not in message:
        raise Finding(f"no record named, from {origin}", message[:500]) from err
    if max(map(len, message.split("\n"))) > 2_000:
        raise Finding(f"endless message, from {origin}", f"{len(message)} characters") from err
    try:
        message.encode("utf-8")
    except UnicodeEncodeError:
        raise Finding(f"message cannot be printed, from {origin}", ascii(message[:500])) from err


def check_counts(docs: list[Doc], report: ConversionReport) -> None:
    """Check that the report counts what the documents hold."""
    n_entities = sum(len(doc.ents) for doc in docs)
    n_relations = sum(len(doc._.relations) for doc in docs)
    counted = (report.n_docs, report.entities.total(), report.relations.total())
    if counted != (len(docs), n_entities, n_relations):
        raise Finding("report differs from documents", f"{counted}, {n_entities}, {n_relations}")


def compare_counts(expected: Counts, report: ConversionReport) -> None:
    """Check that everything in a file was read or reported."""
    counted = (report.n_docs, report.n_entities_read, report.n_relations_read)
    names = ("documents", "entities", "relations")
    for name, there, read in zip(names, expected, counted, strict=True):
        if there is not None and there != read:
            raise Finding(f"silent loss of {name}", f"{there} in the file, {read} in the report")


def check_skipped(path: Path, report: ConversionReport) -> None:
    """Check that each record of a file was read or reported as bad."""
    content = path.read_bytes()
    if b"\r" in content.replace(b"\r\n", b""):
        return  # the records of one line are one bad record
    try:
        n_records = len(decode(content))
    except (AssertionError, ValueError, RecursionError):
        return  # other bad records hide their number
    n_reported = report.n_docs + len(report.bad_records)
    # A record that is broken into lines is several bad ones.
    if n_records > n_reported:
        raise Finding("silent loss of records", f"{n_records} in the file, {n_reported} reported")


def check_strict(
    path: Path, name: str | None, options: ReadingOptions, report: ConversionReport
) -> None:
    """Check that strict mode refuses what would be left out, and nothing else."""
    try:
        read_annotations(path, NLP, format_name=name, options=options, strict=True)
    except ValueError as err:
        if not report.dropped and not report.changed and not options.skip_bad:
            raise Finding("strict mode refuses what it could read", str(err)[:500]) from err
        check_message(err, path)
    else:
        refused = {reason for reason in report.dropped if reason.unit != "document"}
        # Strict mode changes nothing, so it keeps white space that fits the tokens.
        if refused & {Reason.BLANK_ENTITY, Reason.WHITE_SPACE}:
            return
        if refused and not report.changed and not options.skip_bad:
            raise Finding("strict mode keeps what it should refuse", str(report.dropped))


def show_annotation(doc: Doc) -> tuple:
    """Return the annotation of a document as plain data."""
    relations = [
        (r.head.start, r.head.end, r.tail.start, r.tail.end, r.label) for r in doc._.relations
    ]
    entities = [(ent.start, ent.end, ent.label_) for ent in doc.ents]
    return doc.text, entities, relations, doc.user_data.get("orig_id")


def check_docbin(docs: list[Doc], folder: Path) -> None:
    """Check that a .spacy file holds what was read."""
    path = folder / "out" / "a.spacy"
    write_docbin(path, docs)
    back = list(read_docbin(path, NLP.vocab))
    for doc, other in zip_longest(docs, back):
        if other is None or repr(show_annotation(doc)) != repr(show_annotation(other)):
            raise Finding("a .spacy file holds something else", repr(show_annotation(doc)))


def check_written(docs: list[Doc], format_name: str, folder: Path) -> None:
    """Check that another format holds what was read, or says that it cannot."""
    path = folder / "out" / "written"
    try:
        written = write_annotations(path, docs, format_name=format_name, source="in.spacy")
    except ValueError as err:
        if type(err) is not ValueError or "in.spacy, document" not in str(err):
            raise Finding(f"unclear error in writing {format_name}", repr(err)[:500]) from err
        return
    outside = [item.name for item in folder.iterdir() if item.name not in ("in", "out")]
    if outside:
        raise Finding("files written elsewhere", str(outside))
    if not docs and format_name == "brat":
        return
    back, read = read_annotations(path, NLP, format_name=format_name)
    kept = (written.n_docs, written.entities.total(), written.relations.total())
    came = (read.n_docs, read.n_entities_read, read.n_relations_read)
    if kept != came or len(back) != len(docs):
        raise Finding(f"{format_name} loses parts in writing", f"{kept} written, {came} read")
    if format_name in ("brat", "doccano", "labelstudio", "prodigy"):
        texts, others = sorted(doc.text for doc in docs), sorted(doc.text for doc in back)
        if texts != others:
            raise Finding(f"{format_name} changes texts in writing", f"{texts!r} {others!r}")


def _count_json(
    path: Path, options: ReadingOptions, count: Callable[[list, ReadingOptions], Counts]
) -> Counts:
    if options.skip_bad:
        return Counts(None, None, None)
    return count(decode(path.read_bytes()), options)


def decode(content: bytes) -> list:
    """Decode the records of a file in any layout with Python's own decoder."""
    text = content.decode("utf-8").removeprefix("\ufeff")
    decoder = json.JSONDecoder(object_pairs_hook=_refuse_repeated)
    records = []
    position = 0
    while match := re.compile(r"\s*").match(text, position):
        position = match.end()
        if position == len(text):
            break
        value, position = decoder.raw_decode(text, position)
        if isinstance(value, list):
            records += value
        else:
            records.append(value)
    return records


def _refuse_repeated(pairs: list) -> dict:
    if len(dict(pairs)) < len(pairs):
        raise Finding("repeated key", str(pairs)[:500])
    return dict(pairs)

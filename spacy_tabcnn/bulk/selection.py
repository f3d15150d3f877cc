"""The documents of a pool to annotate next, and their files for the annotation tools."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import NamedTuple, TypeAlias, cast

from spacy.language import Language
from spacy.tokens import Doc

from ..arrays import Floats1d
from ..corpora.conversion import ConversionReport
from ..corpora.docbin import DOCBIN_SUFFIX, write_docbin
from ..corpora.files import JsonObject, render_line, write_lines
from ..corpora.formats import OUTPUT_FORMATS, get_format
from ..documents import ORIG_ID, copy_words
from ..evaluation.decisions import Decisions, decide, find_component
from ..evaluation.selection import (
    DIVERSITY,
    Measure,
    Uncertainty,
    check_diversity,
    choose_documents,
    list_labels,
    measure_disagreement,
    measure_uncertainty,
)
from .tasks import describe_meta

# The name of the score of a document, in its user data and in the files of annotation tools.
SCORE = "selection_score"
# Wraps the stream of documents to show the progress.
ProgressBar: TypeAlias = Callable[[Iterable[Doc]], Iterable[Doc]]


class SelectedDocument(NamedTuple):
    """A document to annotate.

    position (int): Its position in the pool, from 0.
    doc (Doc): The document of the pool.
    uncertainty (Uncertainty): The uncertainty about it, or the disagreement of several models.
    labels (Set[str]): The predicted labels of its entities and relations.
    """

    position: int
    doc: Doc
    uncertainty: Uncertainty
    labels: Set[str]


class Selection(NamedTuple):
    """The documents to annotate.

    documents (list[SelectedDocument]): The documents, the highest score first.
    lacking (dict[str, int]): For each quota that cannot be filled, the number of documents that are
        lacking.
    """

    documents: list[SelectedDocument]
    lacking: dict[str, int]


class _Rating(NamedTuple):
    """The part of a document's decisions that a selection needs; documents would fill the memory.

    uncertainty (Uncertainty): The uncertainty about the document.
    labels (Set[str]): Its predicted labels.
    vector (Floats1d): Its vector.
    """

    uncertainty: Uncertainty
    labels: Set[str]
    vector: Floats1d


def select_documents(
    models: Sequence[Language],
    docs: Sequence[Doc],
    n: int,
    *,
    measure: Measure = "margin",
    diversity: float = DIVERSITY,
    quotas: Mapping[str, int] | None = None,
    progress: ProgressBar | None = None,
) -> Selection:
    """Select the documents of a pool to annotate next.

    With one model, the documents count about which it is most uncertain. With several models, the
    documents count about which they disagree. The documents are read as words without annotation.

    models (Sequence[Language]): Pipelines that predict relations. The first one supplies the
        vectors and the labels of documents.
    docs (Sequence[Doc]): The pool; documents with words.
    n (int): Number of documents to select.
    measure (str): "margin" or "entropy"; see `measure_uncertainty`.
    diversity (float): Candidates for each selected document; see `choose_documents`.
    quotas (Mapping[str, int] | None): Minimum number of documents with a predicted label.
    progress (ProgressBar | None): Wraps the stream of documents to show the progress.
    RETURNS (Selection): The documents. The same arguments give the same selection.
    RAISES (ValueError): If a pipeline predicts no relations, no model knows a label of the quotas,
        or `diversity` is below 1 or not finite.
    """
    check_diversity(diversity)
    _check_labels(models, quotas or {})
    ratings = list(_rate(models, docs, measure, progress or iter))
    choice = choose_documents(
        [rating.uncertainty.score for rating in ratings],
        [rating.vector for rating in ratings],
        n,
        diversity=diversity,
        labels=[rating.labels for rating in ratings],
        quotas=quotas,
    )
    selected = []
    for position in choice.positions:
        uncertainty, labels, _ = ratings[position]
        selected.append(SelectedDocument(position, docs[position], uncertainty, labels))
    return Selection(selected, choice.lacking)


def drop_known(docs: Iterable[Doc], known: Iterable[Doc]) -> tuple[list[Doc], int, int]:
    """Leave out documents whose text is known, or repeats an earlier document.

    White space and upper case do not count in the comparison.

    docs (Iterable[Doc]): The documents.
    known (Iterable[Doc]): Documents that are annotated already.
    RETURNS (tuple[list[Doc], int, int]): The other documents, and the numbers of known documents
        and of repeated ones.
    """
    taken = set(map(_make_key, known))
    seen: set[str] = set()
    kept = []
    n_known = n_repeated = 0
    for doc in docs:
        key = _make_key(doc)
        if key in taken:
            n_known += 1
        elif key in seen:
            n_repeated += 1
        else:
            seen.add(key)
            kept.append(doc)
    return kept, n_known, n_repeated


def write_selection(
    output: Path,
    selection: Selection,
    *,
    format_name: str | None = None,
    model: Language | None = None,
) -> ConversionReport | None:
    """Write selected documents for annotation, and their scores.

    The file of scores is `output` + ".scores.jsonl". The score is also a field of each document:
    `data.selection_score` of Label Studio, `meta.selection_score` of Prodigy, `selection_score` of
    the other JSON formats, and of `doc.user_data` in .spacy files. brat has no place for it.

    output (Path): The file, or brat's folder.
    selection (Selection): The documents.
    format_name (str | None): An annotation format; None for a .spacy file.
    model (Language | None): Annotates the documents, so that annotators correct its predictions.
        None: the documents have no annotation.
    RETURNS (ConversionReport | None): Counts of the written and the left-out parts; None for a
        .spacy file.
    RAISES (OSError): If a file cannot be written.
    RAISES (ValueError): If there is no such format, or it cannot hold a document.
    """
    docs = list(_prepare(selection, model))
    report = None
    if format_name is None:
        write_docbin(output, docs)
    else:
        report = _write_format(output, docs, format_name, selection, model)
    write_lines(get_scores_path(output), map(render_line, _list_scores(selection)))
    return report


def get_scores_path(output: Path) -> Path:
    """Return the file with the scores of a selection.

    output (Path): The output.
    RETURNS (Path): The file.
    """
    return output.with_name(f"{output.name}.scores.jsonl")


def _check_labels(models: Sequence[Language], quotas: Mapping[str, int]) -> None:
    known: dict[str, None] = {}
    for nlp in models:
        known.update(dict.fromkeys(find_component(nlp).labels))
    for label in quotas:
        if label not in known:
            raise ValueError(
                f"the quota of {label!r}: no model predicts this label. Their labels are: "
                f"{', '.join(known)}"
            )


def _rate(
    models: Sequence[Language], docs: Sequence[Doc], measure: Measure, progress: ProgressBar
) -> Iterator[_Rating]:
    streams = []
    for nlp in models:
        streams.append(decide(nlp, _copy_all(docs, nlp)))
    # The progress counts whole rows of the streams.
    for _, *row in zip(progress(docs), *streams, strict=True):
        yield _rate_document(row, measure)


def _rate_document(row: Sequence[Decisions], measure: Measure) -> _Rating:
    """Rate a document, from the decisions of each model."""
    first = row[0]
    if len(row) == 1:
        uncertainty = measure_uncertainty(first, measure)
    else:
        uncertainty = measure_disagreement([decisions.doc for decisions in row], measure)
    return _Rating(uncertainty, list_labels(first.doc), first.vector)


def _copy_all(docs: Iterable[Doc], nlp: Language) -> Iterator[Doc]:
    for doc in docs:
        yield copy_words(doc, nlp.vocab)


def _make_key(doc: Doc) -> str:
    return " ".join(doc.text.split()).casefold()


def _prepare(selection: Selection, model: Language | None) -> Iterator[Doc]:
    """Return copies of the documents with their ids and scores, annotated by a model if given."""
    for _, source, uncertainty, _ in selection.documents:
        doc = copy_words(source, source.vocab)
        if model is not None:
            doc = next(decide(model, [copy_words(source, model.vocab)])).doc
        if ORIG_ID in source.user_data:
            doc.user_data[ORIG_ID] = source.user_data[ORIG_ID]
        doc.user_data[SCORE] = uncertainty.score
        yield doc


def _write_format(
    output: Path,
    docs: Sequence[Doc],
    format_name: str,
    selection: Selection,
    model: Language | None,
) -> ConversionReport:
    """Write documents in an annotation format, with their scores where it has a place for them."""
    format_ = get_format(format_name)
    if model is not None and format_.render_predictions is not None:
        version = describe_meta(model.meta)
        rendered, report = format_.render_predictions(
            docs, source=str(output), model_version=version
        )
    else:
        rendered, report = format_.render(docs, source=str(output))
    if format_name == "brat":
        format_.write(output, rendered)
        return report
    content = cast(list[JsonObject | str], rendered)
    records = list(map(_decode, content))
    for record, selected in zip(records, selection.documents, strict=True):
        _add_score(record, selected.uncertainty.score, format_name)
    if any(isinstance(item, str) for item in content):
        format_.write(output, map(render_line, records))
    else:
        format_.write(output, records)
    return report


def _decode(item: JsonObject | str) -> JsonObject:
    """Return the record of a document, which lines of JSON hold as text."""
    if isinstance(item, str):
        record: JsonObject = json.loads(item)
        return record
    return dict(item)


def _add_score(record: JsonObject, score: float, format_name: str) -> None:
    place = {"labelstudio": "data", "prodigy": "meta"}.get(format_name)
    if place is None:
        record[SCORE] = score
        return
    held = record.get(place) or {}
    if isinstance(held, dict):
        record[place] = {**held, SCORE: score}


def _list_scores(selection: Selection) -> Iterator[JsonObject]:
    for rank, (position, doc, uncertainty, labels) in enumerate(selection.documents, start=1):
        yield {
            "rank": rank,
            "position": position,
            "id": doc.user_data.get(ORIG_ID),
            "score": uncertainty.score,
            "entities": round(uncertainty.entities, 6),
            "relations": round(uncertainty.relations, 6),
            "labels": sorted(labels),
            "text": doc.text,
        }


def check_format(output: Path, format_name: str | None) -> str | None:
    """Return the annotation format of an output.

    output (Path): The output.
    format_name (str | None): The format that the user named.
    RETURNS (str | None): The format; None for a .spacy file.
    RAISES (ValueError): If it is unknown.
    """
    if format_name is not None:
        get_format(format_name)
        return format_name
    if output.suffix == DOCBIN_SUFFIX:
        return None
    name = OUTPUT_FORMATS.get(output.suffix.lower())
    if name is not None:
        return name
    raise ValueError(
        f"{output}: cannot tell the format to write. Name it with --to, or name a .spacy file"
    )

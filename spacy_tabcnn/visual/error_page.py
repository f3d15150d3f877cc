"""The error browser: gold against predicted annotation, document by document, in one HTML page."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from math import isfinite
from types import MappingProxyType
from typing import NamedTuple, TypedDict

from spacy.tokens import Doc
from spacy.training import Example

from ..documents import ORIG_ID
from ..evaluation.confusion import Cell, Confusion, Heading, count_confusion, find_cell
from ..evaluation.errors import (
    KINDS,
    ErrorCounts,
    ErrorFinding,
    Kind,
    Unit,
    count_errors,
    find_errors,
)
from ..evaluation.items import (
    EntityItem,
    ItemRecord,
    describe_entity,
    describe_item,
    list_places,
)
from ..evaluation.scoring import Scores, score_relations
from ..relations import has_relations
from .templates import render

_PLURALS: dict[Unit, str] = {"entity": "Entities", "relation": "Relations"}
# The names of scores by their prefixes, see `score_relations`.
_MEASURES = {
    "ents": "Entities, strict",
    "rels_boundaries": "Relations, boundaries (RE)",
    "rels_strict": "Relations, strict (RE+)",
}
# The headings of the two annotations; the names of annotators stay as they are.
_HEADINGS = {"gold": "Gold", "predicted": "Predicted"}


class Wording(NamedTuple):
    """The words of a page that compares two annotations.

    first (str): The name of the annotation that counts as the gold one.
    second (str): The name of the annotation that counts as the predicted one.
    kinds (Mapping[str, str]): The names of kinds; the others have their own names.
    """

    first: str = "gold"
    second: str = "predicted"
    kinds: Mapping[str, str] = MappingProxyType({})

    def name_kind(self, kind: str) -> str:
        """Return the name of a kind, or of another heading of the confusion table.

        kind (str): The kind.
        RETURNS (str): The name.
        """
        return self.kinds.get(kind, kind)


DEFAULT_WORDING = Wording()


class _Score(NamedTuple):
    """The scores of entities or relations, between 0 and 1.

    name (str): The name of the measure.
    figures (Sequence[float]): P, R, F1 and macro F1.
    by_type (Mapping[str, Sequence[float]]): P, R and F1 of each type.
    """

    name: str
    figures: Sequence[float]
    by_type: Mapping[str, Sequence[float]]


class _Segment(NamedTuple):
    """A part of a text: an entity with the kind of its finding, or the text before it.

    text (str): The text.
    kind (str): The kind of the entity's finding; "" for the text between entities.
    label (str): The type of the entity.
    """

    text: str
    kind: str = ""
    label: str = ""


class _Side(NamedTuple):
    """An item with the name of its annotation and its score."""

    name: str
    item: ItemRecord
    score: float | None = None


class _Row(NamedTuple):
    """A finding on the page.

    unit, kind (str): As in `ErrorFinding`.
    labels (str): The numbers of its labels, with spaces between them.
    cell (str): The key of its cell in the confusion table.
    sides (list[_Side]): Its items.
    """

    unit: Unit
    kind: Kind
    labels: str
    cell: str
    sides: list[_Side]


class _Document(NamedTuple):
    """A document on the page.

    name (str): Its name.
    texts (list[tuple[str, list[_Segment]]]): The names of the annotations, and the text with
        their entities.
    findings (list[_Row]): Its findings.
    """

    name: str
    texts: list[tuple[str, list[_Segment]]]
    findings: list[_Row]


class _Record(TypedDict):
    """A finding for export; `gold` and `predicted` are in characters of the text."""

    document: int
    id: str | None
    unit: Unit
    kind: str
    score: float | None
    gold: ItemRecord | None
    predicted: ItemRecord | None


def make_error_page(
    examples: Iterable[Example], *, title: str, wording: Wording = DEFAULT_WORDING
) -> tuple[str, ErrorCounts]:
    """Make the error browser for predicted documents.

    examples (Iterable[Example]): Predicted and reference documents.
    title (str): Title of the page, such as the names of the pipeline and of the corpus.
    wording (Wording): The words of the page.
    RETURNS (tuple[str, ErrorCounts]): An HTML page that needs no other file, and the number of
        findings by unit and kind. A document without any finding is counted but not shown.
    """
    examples = list(examples)
    references, findings = [], []
    for example in examples:
        references.append(example.reference)
        findings.append(find_errors(example))
    scores = list(_list_scores(score_relations(examples)))
    return _make_page(references, findings, scores, title, wording)


def make_findings_page(
    docs: Sequence[Doc],
    findings: Sequence[Sequence[ErrorFinding]],
    *,
    title: str,
    wording: Wording = DEFAULT_WORDING,
) -> tuple[str, ErrorCounts]:
    """Make a page of findings about documents, as the error browser shows them.

    docs (Sequence[Doc]): The documents with the gold annotation.
    findings (Sequence[Sequence[ErrorFinding]]): The findings about each document.
    title (str): Title of the page.
    wording (Wording): The words of the page.
    RETURNS (tuple[str, ErrorCounts]): See `make_error_page`. The page has no scores.
    """
    return _make_page(docs, findings, [], title, wording)


def _make_page(
    docs: Sequence[Doc],
    findings: Sequence[Sequence[ErrorFinding]],
    scores: Sequence[_Score],
    title: str,
    wording: Wording,
) -> tuple[str, ErrorCounts]:
    """Number labels and cells, describe the documents, and fill the template."""
    counts = count_errors(chain.from_iterable(findings))
    tables = {unit: count_confusion(chain.from_iterable(findings), unit) for unit in _PLURALS}
    places = _Places(tables)
    documents: list[_Document] = []
    records: list[_Record] = []
    for number, (doc, found) in enumerate(zip(docs, findings, strict=True), start=1):
        if found:
            document, new = _describe_document(doc, found, number, places, wording)
            documents.append(document)
            records += new
    page = render(
        "errors.html",
        title=title,
        wording=wording,
        plurals=_PLURALS,
        n_documents=len(docs),
        n_entities=sum(doc.has_annotation("ENT_IOB") for doc in docs),
        n_relations=sum(map(has_relations, docs)),
        scores=scores,
        confusions=[_make_table(unit, table, places, wording) for unit, table in tables.items()],
        filters={unit: _list_filters(unit, counts) for unit in _PLURALS},
        labels=places.labels,
        documents=documents,
        records=records,
    )
    return page, counts


def _describe_document(
    doc: Doc, findings: Sequence[ErrorFinding], number: int, places: "_Places", wording: Wording
) -> tuple[_Document, list[_Record]]:
    """Describe a document for the template, and its findings for export."""
    name, identifier = f"Document {number}", doc.user_data.get(ORIG_ID)
    if identifier is not None:
        identifier = str(identifier)
        name += f" ({identifier})"
    describer = _Describer(doc.text, wording)
    rows, records = [], []
    for finding in findings:
        record = describer.make_record(finding, number, identifier)
        records.append(record)
        unit, kind = finding[:2]
        labels = places.list_labels(finding)
        key = places.get_key(unit, find_cell(finding))
        rows.append(_Row(unit, kind, labels, key, list(describer.list_sides(kind, record))))
    return _Document(name, describer.make_texts(findings), rows), records


def _list_scores(scores: Scores) -> Iterator[_Score]:
    """List the scores of entities and relations, if the reference is annotated with them."""
    for prefix, name in _MEASURES.items():
        by_type = scores[f"{prefix}_per_type"]
        if by_type is not None:
            figures = [scores[f"{prefix}_{figure}"] for figure in ("p", "r", "f", "macro_f")]
            types = {label: list(found.values()) for label, found in by_type.items()}
            yield _Score(name, figures, types)


def _list_filters(unit: Unit, counts: ErrorCounts) -> dict[Kind, int]:
    """List the kinds of findings that a unit can have, with their numbers."""
    kinds: dict[Kind, int] = {}
    for kind in KINDS:
        if unit == "relation" or kind != "wrong direction":
            kinds[kind] = counts[unit, kind]
    return kinds


class _Places:
    """The numbers of labels and the keys of cells, by which the page's script filters findings.

    An entity type and a relation type may have the same name.
    """

    def __init__(self, tables: Mapping[Unit, Confusion]) -> None:
        self.labels: dict[Unit, dict[str, int]] = {}
        self._columns: dict[Unit, dict[Heading, int]] = {}
        number = 0
        for unit, table in tables.items():
            self.labels[unit] = {}
            for heading in table.columns:
                if heading.is_label:
                    self.labels[unit][heading.name] = number
                    number += 1
            headings = dict.fromkeys([*table.rows, *table.columns])
            self._columns[unit] = {heading: place for place, heading in enumerate(headings)}

    def get_key(self, unit: Unit, cell: Cell) -> str:
        """Return the key of a cell."""
        places = self._columns[unit]
        return f"{unit} {places[cell[0]]} {places[cell[1]]}"

    def list_labels(self, finding: ErrorFinding) -> str:
        """List the numbers of the labels of a finding, with spaces between them."""
        numbers = set()
        for item in (finding.gold, finding.predicted):
            if item is not None:
                numbers.add(self.labels[finding.unit][item.label])
        return " ".join(map(str, sorted(numbers)))


class _TableCell(NamedTuple):
    """A cell of the confusion table: its number, its key, its CSS class and its column's name."""

    number: int
    key: str
    style: str
    column: str


def _make_table(
    unit: Unit, table: Confusion, places: _Places, wording: Wording
) -> dict[str, object]:
    """Make a confusion table for the template."""
    columns = [_name_heading(heading, wording) for heading in table.columns]
    rows = []
    for row in table.rows:
        cells = []
        for column, name in zip(table.columns, columns, strict=True):
            style = "error"
            if row == column:
                style = "hit"
            count = table.counts[row, column]
            cells.append(_TableCell(count, places.get_key(unit, (row, column)), style, name))
        rows.append({"name": _name_heading(row, wording), "cells": cells})
    return {"title": _PLURALS[unit], "columns": columns, "rows": rows}


def _name_heading(heading: Heading, wording: Wording) -> str:
    if heading.is_label:
        return heading.name
    return wording.name_kind(heading.name)


class _Describer:
    """Describes the findings about a document."""

    def __init__(self, text: str, wording: Wording) -> None:
        self.text, self.wording = text, wording
        self.places = list_places(text)

    def make_texts(self, findings: Iterable[ErrorFinding]) -> list[tuple[str, list[_Segment]]]:
        """Mark the entities of the gold and of the predicted annotation, if they differ."""
        gold: list[tuple[EntityItem, Kind]] = []
        predicted: list[tuple[EntityItem, Kind]] = []
        differ = False
        for finding in findings:
            if isinstance(finding.gold, EntityItem):
                gold.append((finding.gold, finding.kind))
            if isinstance(finding.predicted, EntityItem):
                predicted.append((finding.predicted, finding.kind))
            differ |= finding.unit == "entity" and finding.kind != "correct"
        first, second = self.wording.first, self.wording.second
        heading = _HEADINGS.get(first, first)
        if not differ:
            return [(f"{heading} and {second} entities", list(self._cut(gold)))]
        return [
            (heading, list(self._cut(gold))),
            (_HEADINGS.get(second, second), list(self._cut(predicted))),
        ]

    def _cut(self, entities: Iterable[tuple[EntityItem, Kind]]) -> Iterator[_Segment]:
        """Cut the text at its entities. Of entities that overlap, the first one is marked."""
        end = 0
        for entity, kind in sorted(entities):
            record = describe_entity(entity, self.text, self.places)
            if not record["text"] or record["start"] < end:
                continue
            yield _Segment(self.text[end : record["start"]])
            yield _Segment(record["text"], kind, record["label"])
            end = record["end"]
        yield _Segment(self.text[end:])

    def make_record(self, finding: ErrorFinding, number: int, identifier: str | None) -> _Record:
        """Make the record of a finding, for export."""
        score = finding.score
        if score is not None and not isfinite(score):
            score = None  # JSON has no such numbers
        return {
            "document": number,
            "id": identifier,
            "unit": finding.unit,
            "kind": self.wording.name_kind(finding.kind),
            "score": score,
            "gold": describe_item(finding.gold, self.text, self.places),
            "predicted": describe_item(finding.predicted, self.text, self.places),
        }

    def list_sides(self, kind: Kind, record: _Record) -> Iterator[_Side]:
        """List the gold item of a finding and its predicted one; a correct one once."""
        gold, predicted, score = record["gold"], record["predicted"], record["score"]
        first, second = self.wording.first, self.wording.second
        if kind == "correct" and predicted is not None:
            yield _Side(f"{first} and {second}", predicted, score)
        elif predicted is None and gold is not None:
            yield _Side(first, gold, score)
        else:
            if gold is not None:
                yield _Side(first, gold)
            if predicted is not None:
                yield _Side(second, predicted, score)

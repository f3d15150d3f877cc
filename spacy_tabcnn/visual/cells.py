"""The label table of a document (paper, figure 1) as cells.

The table of n words has BILOU tags in its cells (i, i) and directed relations in its cells i < j.
An arrow to the right means that the head is in the row and the tail in the column. An arrow to the
left means that the head is in the column and the tail in the row.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc

from ..arrays import Ints1d, NumpyFloats2d, log_softmax, take_rows
from ..labels import NO_RELATION, OUTSIDE, LabelScheme
from ..relations import get_entity_score, get_relations

if TYPE_CHECKING:
    from ..pipeline.relation_table import RelationTable

MIN_PROBABILITY = 0.05
RIGHT, LEFT = "→", "←"


class CellLabel(NamedTuple):
    """A label of a cell other than "O" and "none".

    label (str): Entity type or relation type.
    mark (str): BILOU prefix, or the arrow of a relation.
    probability (float): Probability of the label.
    """

    label: str
    mark: str
    probability: float


# Row i and column j >= i of a cell, as words of the document.
Cell: TypeAlias = tuple[int, int]
# The labels of each cell, the most probable first. Cells that are absent are "O" or "none".
Cells: TypeAlias = Mapping[Cell, Sequence[CellLabel]]


def annotated_cells(doc: Doc) -> Cells:
    """Fill the table of a document with its entities and relations.

    The cells are the same as in training (paper, section 2.1).

    doc (Doc): The document.
    RETURNS (Cells): The cells. Probabilities are the scores of predicted entities and relations,
        else 1. Relations of the same two entities share their cells.
    """
    table = _Table()
    table.add_entities(doc)
    for head, tail, label, score in get_relations(doc):
        for i, j in product(range(head.start, head.end), range(tail.start, tail.end)):
            if i < j:
                table.add(i, j, CellLabel(label, RIGHT, score))
            elif i > j:
                table.add(j, i, CellLabel(label, LEFT, score))
    return table.sort_labels()


def predicted_cells(
    doc: Doc, nlp: Language, *, min_probability: float = MIN_PROBABILITY
) -> tuple[Cells, list[tuple[int, int]]]:
    """Fill the table of a document with the probabilities that a pipeline predicts.

    These are the probabilities before the pipeline's relation table decides. Given entities are not
    predicted: the table has them as they are, including those of a type that the pipeline does not
    know. The document stays as it is: the components before the relation table process a copy.

    doc (Doc): The document, tokenised.
    nlp (Language): The pipeline.
    min_probability (float): Minimum probability of a label; others are left out.
    RETURNS (tuple[Cells, list[tuple[int, int]]]): The cells, and first word and end (exclusive) of
        each sentence. A cell of several windows has the probabilities of the window in which it
        counts.
    RAISES (ValueError): If the pipeline has no relation table, or several.
    """
    component = find_component(nlp)
    doc = _process_before(component, doc, nlp)
    logits, scheme = component.predict([doc]), component.label_scheme
    windows = logits.windows
    table = _Table()
    if component.cfg["entities"] == "given":
        table.add_entities(doc)
    else:
        table.add_tags(take_rows(logits.tags, windows.rows()), scheme, min_probability)
    sentence, row, col, index = windows.owned_cells()
    start = windows.sentences.starts()[sentence]
    relations = take_rows(logits.relations, index)
    table.add_relations(relations, start + row, start + col, scheme, min_probability)
    return table.sort_labels(), windows.sentences.by_doc[0]


def find_component(nlp: Language) -> "RelationTable":
    """Find the relation table of a pipeline.

    nlp (Language): The pipeline.
    RETURNS (RelationTable): Its only component that predicts label tables.
    RAISES (ValueError): If the pipeline has no such component, or several.
    """
    # A picture of annotations needs neither the pipeline's modules nor those that they import.
    from ..pipeline.relation_table import RelationTable

    found = [pipe for _, pipe in nlp.pipeline if isinstance(pipe, RelationTable)]
    if len(found) == 1:
        return found[0]
    if found:
        number, advice = str(len(found)), "Disable all but one with nlp.select_pipes()."
    else:
        number, advice = "no", "Leave out `nlp` to show the annotation."
    raise ValueError(
        f"The pipeline has {number} relation_table, so there is no table to show: its components "
        f"are: {nlp.pipe_names}. {advice}"
    )


def table_labels(tables: Iterable[Cells]) -> list[str]:
    """List the labels of tables in the order that decides their colours.

    tables (Iterable[Cells]): Cells of tables.
    RETURNS (list[str]): Entity types, sorted, then relation types, sorted.
    """
    entities: set[str] = set()
    relations: set[str] = set()
    for cells in tables:
        for (i, j), found in cells.items():
            names = {label.label for label in found}
            if i == j:
                entities |= names
            else:
                relations |= names
    return sorted(entities) + sorted(relations - entities)


class _Table:
    """The cells of a table while it is filled."""

    def __init__(self) -> None:
        self._cells: dict[Cell, list[CellLabel]] = {}

    def add(self, row: int, col: int, label: CellLabel) -> None:
        """Add a label to a cell."""
        self._cells.setdefault((row, col), []).append(label)

    def add_entities(self, doc: Doc) -> None:
        """Add the tags of the entities of a document to the diagonal."""
        scheme = LabelScheme(sorted({ent.label_ for ent in doc.ents}))
        for ent in doc.ents:
            score = get_entity_score(ent)
            if score is None:
                score = 1.0
            for word, tag in enumerate(scheme.span_tags(ent.label_, len(ent)), start=ent.start):
                self.add(word, word, _name_tag(scheme, tag, score))

    def add_tags(self, logits: NumpyFloats2d, scheme: LabelScheme, min_probability: float) -> None:
        """Add the probable tags of each word, from their logits (words, tags)."""
        for word, index, probability in _list_probable(logits, OUTSIDE, min_probability):
            self.add(word, word, _name_tag(scheme, index, probability))

    def add_relations(
        self,
        logits: NumpyFloats2d,
        row: Ints1d,
        col: Ints1d,
        scheme: LabelScheme,
        min_probability: float,
    ) -> None:
        """Add the probable relations of cells, from their logits (cells, relation labels)."""
        for cell, index, probability in _list_probable(logits, NO_RELATION, min_probability):
            label = _name_relation(scheme, index, probability)
            self.add(int(row[cell]), int(col[cell]), label)

    def sort_labels(self) -> Cells:
        """Return the cells, with the most probable label of each first."""
        for labels in self._cells.values():
            labels.sort(key=_get_probability, reverse=True)
        return self._cells


def _get_probability(label: CellLabel) -> float:
    return label.probability


def _process_before(component: "RelationTable", doc: Doc, nlp: Language) -> Doc:
    """Process a copy of a document with the components before a component."""
    doc = doc.copy()
    for _, pipe in nlp.pipeline:
        if pipe is component:
            break
        doc = pipe(doc)
    return doc


def _list_probable(
    logits: NumpyFloats2d, nothing: int, min_probability: float
) -> Iterator[tuple[int, int, float]]:
    """List the labels that are probable enough.

    logits (NumpyFloats2d): Logits, (items, labels).
    nothing (int): Index of the label that is left out, "O" or "none".
    min_probability (float): Minimum probability of a label.
    RETURNS (Iterator[tuple[int, int, float]]): Item, label and probability, item by item.
    """
    if not len(logits):
        return iter(())
    probabilities = np.exp(log_softmax(logits))
    probabilities[:, nothing] = 0.0
    item, label = np.nonzero((probabilities >= min_probability) & (probabilities > 0.0))
    found = probabilities[item, label]
    return zip(item.tolist(), label.tolist(), found.tolist(), strict=True)


def _name_tag(scheme: LabelScheme, index: int, probability: float) -> CellLabel:
    prefix, _, label = scheme.tag_name(index).partition("-")
    return CellLabel(label, prefix, probability)


def _name_relation(scheme: LabelScheme, index: int, probability: float) -> CellLabel:
    label, head_first = scheme.relation_label(index)
    if head_first:
        return CellLabel(label, RIGHT, probability)
    return CellLabel(label, LEFT, probability)

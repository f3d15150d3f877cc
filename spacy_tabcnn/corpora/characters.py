"""What the formats share that count in characters (code points, the end is exclusive)."""

from collections.abc import Hashable, Iterable, Iterator
from typing import NamedTuple

from spacy.tokens import Doc, Span

from .annotations import EntityOffsets, RelationIndices, extract
from .report import ConversionReport, Reason


class ExtractedDoc(NamedTuple):
    """A document with what is to be written of it.

    position (int): Its place among the documents, from 0.
    doc (Doc): The document.
    spans (list[Span]): Its entities, in text order.
    relations (list[RelationIndices]): Its relations; their arguments are positions in `spans`.
    """

    position: int
    doc: Doc
    spans: list[Span]
    relations: list[RelationIndices]


class CharacterEntities:
    """Collects the entities of one document, which relations name by an id.

    doc (Doc): The document, whose tokens the entities must match. One that does not begin and end at token boundaries
        is left out.
    report (ConversionReport): Counts what is left out.
    """

    def __init__(self, doc: Doc, report: ConversionReport) -> None:
        self.doc = doc
        self.report = report
        self.entities: list[EntityOffsets | None] = []
        self.index_of: dict[Hashable, int] = {}

    def add(self, item_id: Hashable, start: int, end: int, label: str, here: str) -> None:
        """Add an entity, or what stands for one that is left out.

        item_id (Hashable): Its id; None where no relation can name it.
        start (int): Its first character.
        end (int): The character after its last one.
        label (str): Its label.
        here (str): File, line and item, for messages.
        RAISES (ValueError): If the offsets do not lie in the text or the id is taken, or in strict mode.
        """
        text = self.doc.text
        check_offsets(start, end, len(text), here)
        span = self.doc.char_span(start, end)
        if span is None:
            what = f"{text[start:end]!r} ({label}, characters {start}-{end})"
            self.leave_out(item_id, Reason.UNALIGNED, here, what)
        else:
            self._append(item_id, (span.start, span.end, label), here)

    def leave_out(self, item_id: Hashable, reason: Reason, here: str, what: str) -> None:
        """Count an entity that is left out. Its id stays known, so that its relations are left out too.

        item_id (Hashable): Its id; None where no relation can name it.
        reason (Reason): Why.
        here (str): File, line and item, for messages.
        what (str): The entity, readable.
        RAISES (ValueError): If the id is taken, or in strict mode.
        """
        self._append(item_id, None, here)
        self.report.drop(reason, here, what)

    def find(self, item_id: Hashable, key: str, here: str) -> int:
        """Look up an argument of a relation.

        item_id (Hashable): The id of an entity.
        key (str): The field of the relation that holds it.
        here (str): File, line and item, for messages.
        RETURNS (int): The entity's position in `entities`.
        RAISES (ValueError): If no entity has this id.
        """
        if item_id not in self.index_of:
            raise ValueError(
                f"{here}: {key} is {item_id!r}, the id of no entity of this document. Correct the id"
            )
        return self.index_of[item_id]

    def _append(self, item_id: Hashable, entity: EntityOffsets | None, here: str) -> None:
        if item_id in self.index_of:
            raise ValueError(
                f"{here}: the id {item_id!r} is also that of entity {self.index_of[item_id]}. Give each its own"
            )
        if item_id is not None:
            self.index_of[item_id] = len(self.entities)
        self.entities.append(entity)


def check_offsets(start: int, end: int, length: int, here: str) -> None:
    """Check that a span lies in its text.

    start (int): Its first character.
    end (int): The character after its last one.
    length (int): The number of characters of the text.
    here (str): File, line and item, for messages.
    RAISES (ValueError): If it does not, or is empty.
    """
    if not 0 <= start < end <= length:
        raise ValueError(
            f"{here}: it spans characters {start} to {end} (exclusive), but the text has {length} "
            "characters and an entity has at least one. Correct its offsets"
        )


def extract_spans(
    docs: Iterable[Doc], *, report: ConversionReport, source: str
) -> Iterator[ExtractedDoc]:
    """Take the entities and relations off documents and count them.

    docs (Iterable[Doc]): Annotated documents.
    report (ConversionReport): Counts what is kept and what is left out.
    source (str): The file they come from, for messages.
    YIELDS (ExtractedDoc): Each document with its entities as spans.
    RAISES (ValueError): In strict mode.
    """
    for index, doc in enumerate(docs):
        entities, relations = extract(doc, report=report, where=f"{source}, document {index}")
        yield ExtractedDoc(index, doc, [Span(doc, *entity) for entity in entities], relations)

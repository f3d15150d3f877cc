"""The common part of formats with offsets in characters.

Characters are code points, and the end of a span is exclusive.
"""

from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from typing import NamedTuple

from spacy.language import Language
from spacy.tokens import Doc, Span

from ..documents import ORIG_ID
from ..relations import get_relations, set_entity_scores, set_relations
from .alignment import (
    CharacterSpan,
    Letters,
    TokenEdges,
    align_spans,
    check_characters,
    keeps_white_space,
)
from .conversion import ConversionReport, Reason
from .fields import check_offsets, shorten, show_number
from .files import JsonValue
from .gold import EntityOffsets, RelationIndices, get_doc_id, get_gold, set_gold
from .options import DEFAULT_OPTIONS, ReadingOptions


class GoldSpans(NamedTuple):
    """A document with its gold entities and relations, for writing.

    position (int): The document's place among the documents, from 0.
    doc (Doc): The document.
    spans (list[Span]): Its entities, in text order.
    relations (list[RelationIndices]): Its relations; their arguments are positions in `spans`.
    orig_id (str | int | float | None): The id that the document has in its corpus.
    any_id (str | int | float): The same, or a number that is no other document's id: if possible,
        the document's place.
    """

    position: int
    doc: Doc
    spans: list[Span]
    relations: list[RelationIndices]
    orig_id: str | int | float | None
    any_id: str | int | float


def make_doc(nlp: Language, text: str, where: str) -> Doc:
    """Tokenise a text to which offsets belong.

    nlp (Language): Its tokenizer splits the text.
    text (str): The text.
    where (str): File and document, for messages.
    RETURNS (Doc): The document.
    RAISES (ValueError): If the tokenizer changes the text, as some do with white space: all offsets
        behind the change would be wrong.
    """
    doc = nlp.make_doc(text)
    if doc.text != text:
        raise ValueError(
            f"{where}: the tokenizer changes the text, so that offsets do not fit it: "
            f"{_show_change(text, doc.text)}. Replace such characters in the text, or name "
            "another tokenizer with --lang or --model"
        )
    return doc


def _show_change(text: str, changed: str) -> str:
    same = 0
    while text[same : same + 1] == changed[same : same + 1]:
        same += 1
    start, end = max(same - 10, 0), same + 10
    return f"{text[start:end]!r} becomes {changed[start:end]!r}"


class Offsets:
    """The offsets of a tool in a text, and the characters that they stand for.

    text (str): The text.
    utf16 (bool): Offsets count UTF-16 code units. A character beyond U+FFFF, such as an emoji, has
        two of them. For example, "a😀b" has the positions [0, 1, 1, 2, 3].
    """

    def __init__(self, text: str, *, utf16: bool = False) -> None:
        self.text = text
        self.utf16 = utf16
        self.positions: Sequence[int] = range(len(text) + 1)
        if utf16:
            self.positions = _count_utf16(text)

    def find(self, start: int, end: int, where: str) -> tuple[int, int]:
        """Return the characters of a span.

        start (int): Its first offset.
        end (int): The offset after its last one.
        where (str): File, line and item, for messages.
        RETURNS (tuple[int, int]): Its first character, and the character after its last one.
        RAISES (ValueError): If the span is empty or not in the text, or divides a character.
        """
        if not self.utf16:
            check_characters(start, end, self.text, where)
            return start, end
        check_offsets(start, end, len(self.positions) - 1, "UTF-16 code units", where)
        return self.find_start(start, where), self.find_start(end, where)

    def find_start(self, offset: int, where: str) -> int:
        """Return the character at an offset.

        offset (int): The offset.
        where (str): File, line and item, for messages.
        RETURNS (int): The position of the character, or the length of the text at its end.
        RAISES (ValueError): If the offset is not in the text, or is inside a character.
        """
        if not 0 <= offset < len(self.positions):
            raise ValueError(
                f"{where}: the offset is {show_number(offset)}, but the text has "
                f"{len(self.positions) - 1} characters. Correct it"
            )
        position = self.positions[offset]
        if offset and self.positions[offset - 1] == position:
            raise ValueError(
                f"{where}: the offset {offset} lies inside a character. Correct it, or read the "
                "file without --utf16"
            )
        return position


class CharacterEntities:
    """The entities of one document while it is read. Relations name them by an id.

    `entities` holds the tokens that an entity touches, or None for a left-out entity. `set_gold`
    decides on the entities that begin or end inside a token.

    doc (Doc): The document.
    report (ConversionReport): Counts the changed and the left-out entities.
    options (ReadingOptions): The rules for overlapping entities, and for entities that begin or end
        inside a token.
    keep_scores (bool): Set the scores of entities and relations, since they are predictions. The
        score of an annotated relation is 1.
    """

    def __init__(
        self,
        doc: Doc,
        report: ConversionReport,
        options: ReadingOptions = DEFAULT_OPTIONS,
        *,
        keep_scores: bool = False,
    ) -> None:
        self.doc = doc
        self.text = doc.text  # `doc.text` joins all words at each call
        self.report = report
        self.options = options
        self.entities: list[EntityOffsets | None] = []
        self.index_of: dict[Hashable, int] = {}
        self.keep_scores = keep_scores
        self._scores: dict[int, float] = {}  # by the position in `entities`
        self._relation_scores: dict[RelationIndices, float] = {}
        self._edges = TokenEdges(doc)
        self._letters = Letters(self.text)
        self._spans: dict[int, CharacterSpan] = {}  # by the position in `entities`

    def add(self, item_id: Hashable, start: int, end: int, label: str, where: str) -> None:
        """Add an entity, or count it as left out.

        item_id (Hashable): Its id; None if no relation can name it.
        start (int): Its first character.
        end (int): The character after its last one.
        label (str): Its label.
        where (str): File, line and item, for messages.
        RAISES (ValueError): If the offsets are not in the text or the id is taken, or in strict
            mode.
        """
        text = self.text
        check_characters(start, end, text, where)
        span = CharacterSpan(start, end, label, where)
        tokens = self._edges.touch(start, end)
        if tokens is None or (self._letters.is_blank(start, end) and not self._keeps_blank(span)):
            self.leave_out(item_id, Reason.BLANK_ENTITY, where, span.show(text))
            return
        self._append(item_id, (*tokens, label), where)
        self._spans[len(self.entities) - 1] = span

    def leave_out(self, item_id: Hashable, reason: Reason, where: str, what: str) -> None:
        """Count an entity as left out. Its id stays known, so that its relations are left out too.

        item_id (Hashable): Its id; None if no relation can name it.
        reason (Reason): The reason for leaving it out.
        where (str): File, line and item, for messages.
        what (str): A readable form of the entity.
        RAISES (ValueError): If the id is taken, or in strict mode.
        """
        self._append(item_id, None, where)
        self.report.drop(reason, where, what)

    def find(self, item_id: Hashable, key: str, where: str) -> int:
        """Return the entity that an argument of a relation names.

        item_id (Hashable): The id of an entity.
        key (str): The field of the relation that holds the id.
        where (str): File, line and item, for messages.
        RETURNS (int): The entity's position in `entities`.
        RAISES (ValueError): If no entity has this id.
        """
        if item_id not in self.index_of:
            raise ValueError(
                f"{where}: {key} is {shorten(repr(item_id))}, the id of no entity of this "
                "document. Correct the id"
            )
        return self.index_of[item_id]

    def set_score(self, score: JsonValue) -> None:
        """Set the score of the last entity, if scores are kept.

        score (JsonValue): The score, or None. A value that is no probability is counted.
        """
        probability = self._check_score(score)
        if probability is not None:
            self._scores[len(self.entities) - 1] = probability

    def set_relation_score(self, relation: RelationIndices, score: JsonValue) -> None:
        """Set the score of a relation, if scores are kept.

        relation (RelationIndices): Its arguments, as positions in `entities`, and its label.
        score (JsonValue): The score, or None. A value that is no probability is counted.
        """
        probability = self._check_score(score)
        if probability is not None:
            self._relation_scores.setdefault(relation, probability)

    def set_gold(
        self,
        relations: Iterable[RelationIndices] | None,
        *,
        orig_id: JsonValue,
        where: str,
        has_entities: bool = True,
    ) -> Doc:
        """Set the entities and the given relations as the gold annotation of the document.

        relations (Iterable[RelationIndices] | None): The relations; their arguments are positions
            in `entities`. None if relations were not annotated.
        orig_id (JsonValue): The id of the document in its corpus, or None.
        where (str): File and line, for messages.
        has_entities (bool): Whether entities were annotated. If not, they stay unset.
        RETURNS (Doc): The document.
        RAISES (ValueError): In strict mode.
        """
        align = self.options.align
        self.doc, aligned = align_spans(self.doc, self._spans, self.report, align)
        for index in self._spans:
            self.entities[index] = aligned.get(index)
        doc = set_gold(
            self.doc,
            self.entities if has_entities else None,
            relations,
            orig_id=orig_id,
            report=self.report,
            where=where,
            overlap=self.options.overlap,
        )
        self._set_scores(doc)
        return doc

    def _check_score(self, score: JsonValue) -> float | None:
        """Return a score that is kept, and count a value that is no probability."""
        if not self.keep_scores or score is None:
            return None
        if isinstance(score, int | float) and not isinstance(score, bool) and 0 <= score <= 1:
            return float(score)
        self.report.ignored["scores that are no probabilities"] += 1
        return None

    def _set_scores(self, doc: Doc) -> None:
        """Set the scores of the entities and relations that stayed, which have their offsets."""
        entity_scores: dict[EntityOffsets, float] = {}
        for index, score in self._scores.items():
            entity = self.entities[index]
            if entity is not None:
                entity_scores.setdefault(entity, score)
        if entity_scores:
            scored = [ent for ent in doc.ents if _get_offsets(ent) in entity_scores]
            set_entity_scores(doc, scored, [entity_scores[_get_offsets(ent)] for ent in scored])
        if self._relation_scores:
            self._set_relation_scores(doc)

    def _set_relation_scores(self, doc: Doc) -> None:
        scores = {}
        for (head, tail, label), score in self._relation_scores.items():
            scores[self.entities[head], self.entities[tail], label] = score
        relations = []
        for relation in get_relations(doc):
            key = _get_offsets(relation.head), _get_offsets(relation.tail), relation.label
            relations.append(relation._replace(score=scores.get(key, relation.score)))
        set_relations(doc, relations)

    def _keeps_blank(self, span: CharacterSpan) -> bool:
        """Check whether an entity of white space stays, as tokens of the text."""
        fits = self._edges.fit(span.start, span.end)
        return fits and keeps_white_space(self.report, self.options.align)

    def _append(self, item_id: Hashable, entity: EntityOffsets | None, where: str) -> None:
        if item_id in self.index_of:
            raise ValueError(
                f"{where}: the id {shorten(repr(item_id))} is also the id of entity "
                f"{self.index_of[item_id]}. "
                "Give each entity its own id"
            )
        if item_id is not None:
            self.index_of[item_id] = len(self.entities)
        self.entities.append(entity)


def get_gold_spans(
    docs: Iterable[Doc], *, report: ConversionReport, source: str, may_lack: Collection[str] = ()
) -> Iterator[GoldSpans]:
    """Return the entities and relations of documents and count them.

    docs (Iterable[Doc]): Annotated documents.
    report (ConversionReport): Counts the kept and the left-out parts.
    source (str): The file they come from, for messages.
    may_lack (Collection[str]): The annotation that a document need not have; see `get_gold`.
    YIELDS (GoldSpans): Each document with its entities as spans.
    RAISES (ValueError): In strict mode.
    """
    docs = list(docs)
    taken = {str(doc.user_data.get(ORIG_ID)) for doc in docs}
    for position, doc in enumerate(docs):
        where = f"{source}, document {position}"
        entities, relations = get_gold(doc, report=report, where=where, may_lack=may_lack)
        spans = [Span(doc, *entity) for entity in entities]
        orig_id = get_doc_id(doc, where)
        any_id = orig_id
        if any_id is None:
            any_id = position
            while str(any_id) in taken:
                any_id += len(docs)
        yield GoldSpans(position, doc, spans, relations, orig_id, any_id)


def _get_offsets(span: Span) -> EntityOffsets:
    return span.start, span.end, span.label_


def _count_utf16(text: str) -> list[int]:
    """Return the position of the character at each UTF-16 offset, and the length of the text."""
    positions = []
    for position, character in enumerate(text):
        n_units = len(character.encode("utf-16-le")) // 2
        positions += [position] * n_units
    positions.append(len(text))
    return positions

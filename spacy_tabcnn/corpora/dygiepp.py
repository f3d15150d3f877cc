"""The JSONL of DyGIE++ (Wadden et al., 2019), SciERC and PL-Marker.

Each line is one document:

    {doc_key, sentences: [[token]], ner: [[[start, end, label]]],
     relations: [[[head start, head end, tail start, tail end, label]]]}

`ner` and `relations` hold one list for each sentence. Offsets count tokens through the whole
document and the end is inclusive. `doc_key` may be absent. A document without the field `ner` or
`relations` has no annotation of entities or relations. Other fields (`clusters`, `events`) are
counted, but not read.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from spacy.language import Language
from spacy.tokens import Doc

from ..relations import has_relations
from ..sentences import sentence_bounds
from .conversion import ConversionReport, Reason
from .fields import (
    check_list,
    check_tokens,
    describe,
    get_field,
    get_orig_id,
    has_field,
    locate,
    show_number,
)
from .files import JsonObject, JsonValue, render_line
from .gold import (
    EntityOffsets,
    RelationIndices,
    get_doc_id,
    get_gold,
    lacks_entities,
    number_sentences,
    set_gold,
    show_words,
)
from .options import DEFAULT_OPTIONS, ReadingOptions
from .records import Content, collect_record_docs, to_records

DOC_KEY = "doc_key"
# The fields with annotations, and the parts of one of their items.
_ITEMS = {
    "ner": ("start", "end", "label"),
    "relations": ("head start", "head end", "tail start", "tail end", "label"),
}
_FIELDS = {DOC_KEY, "sentences", *_ITEMS}


class _Item(NamedTuple):
    """An entity or a relation as a line holds it.

    where (str): Its place, for messages.
    sentence (int): The number of its sentence, from 0.
    offsets (list[int]): Its offsets, in the order of `_ITEMS`; ends are inclusive.
    label (str): Its label.
    """

    where: str
    sentence: int
    offsets: list[int]
    label: str


def dygiepp_to_docs(
    content: Content,
    nlp: Language,
    *,
    source: str = "<data>",
    strict: bool = False,
    options: ReadingOptions = DEFAULT_OPTIONS,
) -> tuple[list[Doc], ConversionReport]:
    """Turn DyGIE++'s JSONL into annotated documents with the gold tokens and sentence boundaries.

    A relation may join entities of two sentences.

    content (Content): Lines of JSON, a decoded array, or records.
    nlp (Language): Gives the vocabulary.
    source (str): The file, for messages.
    strict (bool): Refuse entities and relations that cannot be kept.
    options (ReadingOptions): The choices of the user.
    RETURNS (tuple[list[Doc], ConversionReport]): The documents, and counts of the kept and the
        left-out parts.
    RAISES (ValueError): If the data is malformed, or in strict mode.
    """
    report = ConversionReport(source, strict)
    records = to_records(content, source, "document", has_lines=True)
    read = partial(_read_document, nlp, options)
    return collect_record_docs(records, read, report, skip_bad=options.skip_bad), report


def docs_to_dygiepp(
    docs: Iterable[Doc], *, source: str = "<docs>", strict: bool = False
) -> tuple[list[str], ConversionReport]:
    """Turn documents into DyGIE++'s JSONL.

    A document without sentence boundaries becomes one sentence; a document without an id of its own
    gets no `doc_key`. Entities are in text order, relations in the order of `doc._.relations`.
    Entities and relations that cross the border of a sentence are left out. The format has no place
    for scores and for the spaces between words.

    docs (Iterable[Doc]): Annotated documents.
    source (str): The file they come from, for messages.
    strict (bool): Stop at the first entity or relation that cannot be represented.
    RETURNS (tuple[list[str], ConversionReport]): The lines, and counts of the written and the
        left-out parts.
    RAISES (ValueError): In strict mode.
    """
    report = ConversionReport(source, strict)
    lines = []
    for index, doc in enumerate(docs):
        lines.append(render_line(_render_document(doc, report, f"{source}, document {index}")))
    return lines, report


def _read_document(
    nlp: Language,
    options: ReadingOptions,
    record: JsonValue,
    report: ConversionReport,
    where: str,
) -> list[Doc]:
    orig_id = get_orig_id(record, DOC_KEY, where)
    where = locate(where, DOC_KEY, orig_id)
    sentences = _get_sentences(record, where)
    doc = _make_doc(sentences, nlp)
    entities = _get_entities(record, sentences, where)
    relations = _get_relations(record, doc, entities or [], report, where)
    _count_other_fields(record, report)
    set_gold(
        doc,
        entities,
        relations,
        orig_id=orig_id,
        report=report,
        where=where,
        overlap=options.overlap,
    )
    return [doc]


def _get_sentences(record: JsonValue, where: str) -> list[list[str]]:
    sentences = []
    for index, sentence in enumerate(get_field(record, "sentences", list, where)):
        sentences.append(check_tokens(sentence, f"{where}, sentence {index}"))
    return sentences


def _make_doc(sentences: Sequence[Sequence[str]], nlp: Language) -> Doc:
    words: list[str] = []
    sent_starts: list[bool | int | None] = []
    for sentence in sentences:
        words += sentence
        sent_starts += [position == 0 for position in range(len(sentence))]
    return Doc(nlp.vocab, words=words, sent_starts=sent_starts)


def _get_entities(
    record: JsonValue, sentences: Sequence[Sequence[str]], where: str
) -> list[EntityOffsets] | None:
    """Return the entities of a document, or None if they were not annotated."""
    if not has_field(record, "ner"):
        return None
    first = [0]  # the first token of each sentence, and the end of the last one
    for sentence in sentences:
        first.append(first[-1] + len(sentence))
    entities = []
    for here, index, (start, last), label in _get_items(record, "ner", len(sentences), where):
        # Offsets that count from the start of the sentence are a common mistake. Many of them lie
        # in the document, so they are checked against the sentence.
        _check_span(start, last, range(first[index], first[index + 1]), "sentence", here)
        entities.append((start, last + 1, label))
    return entities


def _get_relations(
    record: JsonValue,
    doc: Doc,
    entities: Sequence[EntityOffsets],
    report: ConversionReport,
    where: str,
) -> list[RelationIndices] | None:
    """Return the relations of a document, or None if they were not annotated."""
    if not has_field(record, "relations"):
        return None
    # Of several entities in one place the first one counts.
    index_of: dict[tuple[int, int], int] = {}
    for index, (start, end, _) in enumerate(entities):
        index_of.setdefault((start, end), index)
    n_sentences = len(get_field(record, "sentences", list, where))
    tokens = range(len(doc))
    relations = []
    for here, _, offsets, label in _get_items(record, "relations", n_sentences, where):
        head_start, head_last, tail_start, tail_last = offsets
        _check_span(head_start, head_last, tokens, "document", here)
        _check_span(tail_start, tail_last, tokens, "document", here)
        head = index_of.get((head_start, head_last + 1))
        tail = index_of.get((tail_start, tail_last + 1))
        if head is None or tail is None:
            head_text = show_words(doc, head_start, head_last + 1)
            tail_text = show_words(doc, tail_start, tail_last + 1)
            report.drop(Reason.NOT_AN_ENTITY, where, f"{label} ({head_text} -> {tail_text})")
        else:
            relations.append((head, tail, label))
    return relations


def _get_items(record: JsonValue, field: str, n_sentences: int, where: str) -> Iterator[_Item]:
    """Return the items of a field with annotations."""
    per_sentence = get_field(record, field, list, where)
    if len(per_sentence) != n_sentences:
        raise ValueError(
            f"{where}: the field {field!r} has {len(per_sentence)} lists for {n_sentences} "
            "sentences. Give each sentence one list"
        )
    for index, items in enumerate(per_sentence):
        in_sentence = check_list(items, "items", f"{where}, sentence {index}, field {field!r}")
        for position, item in enumerate(in_sentence):
            here = f"{where}, sentence {index}, {field} {position}"
            offsets, label = _split_item(item, _ITEMS[field], here)
            yield _Item(here, index, offsets, label)


def _split_item(item: JsonValue, parts: Sequence[str], where: str) -> tuple[list[int], str]:
    """Return the offsets and the label of an item."""
    if isinstance(item, list) and len(item) == len(parts):
        # The types are compared exactly, since JSON's true and false would pass as integers.
        offsets = [part for part in item[:-1] if type(part) is int]
        label = item[-1]
        if len(offsets) == len(parts) - 1 and isinstance(label, str) and label.strip():
            return offsets, label
    raise ValueError(f"{where}: found {describe(item)}; expected [{', '.join(parts)}]")


def _check_span(start: int, last: int, tokens: range, unit: str, where: str) -> None:
    """Check that a span, with an inclusive end, lies within the tokens of its unit."""
    if tokens.start <= start <= last < tokens.stop:
        return
    held = "no tokens"
    if tokens:
        held = f"the tokens {tokens.start} to {tokens.stop - 1}"
    raise ValueError(
        f"{where}: it spans tokens {show_number(start)} to {show_number(last)} (inclusive), but "
        f"the {unit} has {held}. Offsets count through the whole document; correct them"
    )


def _count_other_fields(record: JsonValue, report: ConversionReport) -> None:
    if isinstance(record, dict):
        for key, value in record.items():
            if key not in _FIELDS and _holds_something(value):
                report.ignored[key] += 1


def _holds_something(value: JsonValue) -> bool:
    """Check whether a field holds more than empty lists, one for each sentence."""
    if isinstance(value, list):
        return any(map(_holds_something, value))
    return value is not None


def _render_document(doc: Doc, report: ConversionReport, where: str) -> JsonObject:
    sentence_of = number_sentences(doc)
    entities, relations = get_gold(
        doc,
        report=report,
        where=where,
        sentence_of=sentence_of,
        may_lack=["entities", "relations"],
    )
    sentences = _render_sentences(doc)
    record: JsonObject = {}
    orig_id = get_doc_id(doc, where)
    if orig_id is not None:
        record[DOC_KEY] = orig_id
    record["sentences"] = sentences
    if not lacks_entities(doc):
        record["ner"] = _render_entities(entities, sentence_of, len(sentences))
    if has_relations(doc):
        record["relations"] = _render_relations(relations, entities, sentence_of, len(sentences))
    return record


def _render_sentences(doc: Doc) -> list[list[str]]:
    words = [token.text for token in doc]
    return [words[start:end] for start, end in sentence_bounds(doc)]


def _render_entities(
    entities: Sequence[EntityOffsets], sentence_of: Sequence[int], n_sentences: int
) -> list[list[list[int | str]]]:
    rendered: list[list[list[int | str]]] = [[] for _ in range(n_sentences)]
    for start, end, label in entities:
        rendered[sentence_of[start]].append([start, end - 1, label])
    return rendered


def _render_relations(
    relations: Sequence[RelationIndices],
    entities: Sequence[EntityOffsets],
    sentence_of: Sequence[int],
    n_sentences: int,
) -> list[list[list[int | str]]]:
    rendered: list[list[list[int | str]]] = [[] for _ in range(n_sentences)]
    for head, tail, label in relations:
        head_start, head_end, _ = entities[head]
        tail_start, tail_end, _ = entities[tail]
        item: list[int | str] = [head_start, head_end - 1, tail_start, tail_end - 1, label]
        rendered[sentence_of[head_start]].append(item)
    return rendered

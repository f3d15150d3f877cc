"""The JSONL of DyGIE++ (Wadden et al., 2019), which SciERC and PL-Marker use too, one document a line:
`{doc_key, sentences: [[token]], ner: [[[start, end, label]]],
relations: [[[head start, head end, tail start, tail end, label]]]}`.

`ner` and `relations` hold one list for each sentence. Offsets count tokens through the whole document and the end is
inclusive; `doc_key` may be absent. Other fields (`clusters`, `events`) are not read, only counted.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc

from .annotations import (
    ORIG_ID,
    EntityOffsets,
    RelationIndices,
    annotate,
    check_tokens,
    describe,
    extract,
    get_field,
    parse_lines,
)
from .report import ConversionReport, Reason

DOC_KEY = "doc_key"
# The fields with annotations, and what one of their items holds.
_ITEMS = {
    "ner": ("start", "end", "label"),
    "relations": ("head start", "head end", "tail start", "tail end", "label"),
}


def dygiepp_to_docs(
    lines: Iterable[str], nlp: Language, *, source: str = "<data>", strict: bool = False
) -> tuple[list[Doc], ConversionReport]:
    """Turn DyGIE++'s JSONL into annotated documents with the gold tokens and sentence boundaries. A relation may join
    entities of two sentences.

    lines (Iterable[str]): The lines, read one by one; blank ones are skipped.
    nlp (Language): Gives the vocabulary.
    source (str): The file, for messages.
    strict (bool): Stop at the first entity or relation that cannot be kept.
    RETURNS (tuple[list[Doc], ConversionReport]): The documents, and what was read and left out.
    RAISES (ValueError): If the data is malformed, or in strict mode.
    """
    report = ConversionReport(source, strict)
    docs = []
    for where, record in parse_lines(lines, source):
        sentences = get_field(record, "sentences", list, where)
        orig_id = record.get(DOC_KEY)
        if orig_id is not None:
            where += f" ({DOC_KEY} {orig_id})"
        for index, sentence in enumerate(sentences):
            check_tokens(sentence, f"{where}, sentence {index}")
        doc = Doc(
            nlp.vocab,
            words=[token for sentence in sentences for token in sentence],
            sent_starts=[
                position == 0 for sentence in sentences for position in range(len(sentence))
            ],
        )
        entities = _get_entities(record, sentences, where)
        relations = _get_relations(record, doc, entities, report, where)
        docs.append(annotate(doc, entities, relations, orig_id=orig_id, report=report, where=where))
        read = {DOC_KEY, "sentences", *_ITEMS}
        report.ignored.update(
            key for key, value in record.items() if key not in read and _holds_something(value)
        )
    return docs, report


def docs_to_dygiepp(
    docs: Iterable[Doc], *, source: str = "<docs>", strict: bool = False
) -> tuple[list[str], ConversionReport]:
    """Turn documents into DyGIE++'s JSONL. One without sentence boundaries becomes one sentence, and one without an
    id of its own gets no `doc_key`. Entities come in text order, relations in that of `doc._.relations`; what crosses
    the border of a sentence is left out. Scores and the spaces between words have no place in this format.

    docs (Iterable[Doc]): Annotated documents.
    source (str): The file they come from, for messages.
    strict (bool): Stop at the first thing that cannot be represented.
    RETURNS (tuple[list[str], ConversionReport]): The lines, and what was written and left out.
    RAISES (ValueError): In strict mode.
    """
    report = ConversionReport(source, strict)
    lines = []
    for index, doc in enumerate(docs):
        sentences = (
            list(doc.sents) if doc.has_annotation("SENT_START") else [doc[:]] if len(doc) else []
        )
        sentence_of = [number for number, sentence in enumerate(sentences) for _ in sentence]
        where = f"{source}, document {index}"
        entities, relations = extract(doc, report=report, where=where, sentence_of=sentence_of)
        ner: list[list[Any]] = [[] for _ in sentences]
        for start, end, label in entities:
            ner[sentence_of[start]].append([start, end - 1, label])
        joined: list[list[Any]] = [[] for _ in sentences]
        for head, tail, label in relations:
            spans = [
                offset
                for start, end, _ in (entities[head], entities[tail])
                for offset in (start, end - 1)
            ]
            joined[sentence_of[spans[0]]].append([*spans, label])
        record = {
            "sentences": [[token.text for token in sentence] for sentence in sentences],
            "ner": ner,
            "relations": joined,
        }
        if ORIG_ID in doc.user_data:
            record = {DOC_KEY: doc.user_data[ORIG_ID], **record}
        lines.append(json.dumps(record, ensure_ascii=False))
    return lines, report


def _get_entities(record: Any, sentences: list[list[str]], where: str) -> list[EntityOffsets]:
    first = [0]
    for sentence in sentences:
        first.append(first[-1] + len(sentence))
    entities = []
    for index, offsets, label, here in _get_items(record, "ner", len(sentences), where):
        # Offsets that count from the start of the sentence are a common mistake, and most of them lie in the document.
        _check_span(offsets, first[index], first[index + 1], "sentence", here)
        entities.append((offsets[0], offsets[1] + 1, label))
    return entities


def _get_relations(
    record: Any, doc: Doc, entities: list[EntityOffsets], report: ConversionReport, where: str
) -> list[RelationIndices]:
    index_of: dict[tuple[int, int], int] = {}
    for index, (start, end, _) in enumerate(entities):
        index_of.setdefault((start, end), index)
    relations = []
    for _, offsets, label, here in _get_items(record, "relations", len(record["sentences"]), where):
        spans = []
        for argument in (offsets[:2], offsets[2:]):
            _check_span(argument, 0, len(doc), "document", here)
            spans.append((argument[0], argument[1] + 1))
        if all(span in index_of for span in spans):
            relations.append((index_of[spans[0]], index_of[spans[1]], label))
        else:
            head, tail = (doc[start:end].text for start, end in spans)
            report.drop(Reason.NOT_AN_ENTITY, where, f"{label} ({head!r} -> {tail!r})")
    return relations


def _get_items(
    record: Any, field: str, n_sentences: int, where: str
) -> Iterator[tuple[int, list[int], str, str]]:
    """Yield, for each item of a field with annotations, its sentence, its offsets, its label and its place."""
    names = _ITEMS[field]
    per_sentence = get_field(record, field, list, where)
    if len(per_sentence) != n_sentences:
        raise ValueError(
            f"{where}: the field {field!r} has {len(per_sentence)} lists for {n_sentences} sentences. Give each one"
        )
    for index, items in enumerate(per_sentence):
        if not isinstance(items, list):
            raise ValueError(
                f"{where}, sentence {index}: the field {field!r} holds {describe(items)}; expected a list"
            )
        for position, item in enumerate(items):
            here = f"{where}, sentence {index}, {field} {position}"
            # JSON's true and false would pass as integers.
            valid = isinstance(item, list) and [type(part) for part in item] == [int] * (
                len(names) - 1
            ) + [str]
            if not valid or not item[-1].strip():
                raise ValueError(f"{here}: found {describe(item)}; expected [{', '.join(names)}]")
            yield index, item[:-1], item[-1], here


def _check_span(offsets: list[int], first: int, end: int, unit: str, where: str) -> None:
    if not first <= offsets[0] <= offsets[1] < end:
        raise ValueError(
            f"{where}: it spans tokens {offsets[0]} to {offsets[1]} (inclusive), but the {unit} has "
            + (f"the tokens {first} to {end - 1}" if end > first else "no tokens")
            + ". Offsets count through the whole document; correct them"
        )


def _holds_something(value: Any) -> bool:
    """Tell whether a field holds more than empty lists, one for each sentence."""
    return any(map(_holds_something, value)) if isinstance(value, list) else value is not None

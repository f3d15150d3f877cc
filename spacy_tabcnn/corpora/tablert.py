"""TablERT's and TablERT-CNN's JSON: an array of sentences
`{tokens, tags: [BILOU-label], relations: [{head, tail, type}], orig_id}`.

`head` and `tail` are positions among the entities that the tags hold, in text order; `orig_id` may be absent.
"""

from collections.abc import Iterable
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc

from .annotations import (
    ORIG_ID,
    EntityOffsets,
    annotate,
    check_array,
    extract,
    get_field,
    get_relation_indices,
    get_tokens,
    locate,
)
from .report import ConversionReport


def tablert_to_docs(
    sentences: Any, nlp: Language, *, source: str = "<data>", strict: bool = False
) -> tuple[list[Doc], ConversionReport]:
    """Turn TablERT's JSON into annotated documents with the gold tokens.

    sentences (Any): The decoded JSON array.
    nlp (Language): Gives the vocabulary.
    source (str): The file, for messages.
    strict (bool): Stop at the first thing that cannot be kept.
    RETURNS (tuple[list[Doc], ConversionReport]): The documents, and what was read and left out.
    RAISES (ValueError): If the data is malformed, or in strict mode.
    """
    report = ConversionReport(source, strict)
    docs = []
    for index, sentence in enumerate(check_array(sentences, source)):
        where = locate(source, index, sentence)
        doc = Doc(nlp.vocab, words=get_tokens(sentence, where))
        tags = get_field(sentence, "tags", list, where)
        if len(tags) != len(doc):
            raise ValueError(f"{where}: {len(tags)} tags for {len(doc)} tokens. Give each token one tag")
        entities = _read_bilou(tags, where)
        relations = get_relation_indices(sentence, len(entities), where)
        orig_id = sentence.get(ORIG_ID)
        docs.append(annotate(doc, entities, relations, orig_id=orig_id, report=report, where=where))
    return docs, report


def docs_to_tablert(
    docs: Iterable[Doc], *, source: str = "<docs>", strict: bool = False
) -> tuple[list[dict[str, Any]], ConversionReport]:
    """Turn documents into TablERT's JSON. Relations come in the order of `doc._.relations`. Scores and the
    spaces between words have no place in this format.

    docs (Iterable[Doc]): Annotated documents.
    source (str): The file they come from, for messages.
    strict (bool): Stop at the first thing that cannot be represented.
    RETURNS (tuple[list[dict], ConversionReport]): The JSON array, and what was written and left out.
    RAISES (ValueError): In strict mode.
    """
    report = ConversionReport(source, strict)
    sentences = []
    for index, doc in enumerate(docs):
        entities, relations = extract(doc, report=report, where=locate(source, index, doc.user_data))
        sentence: dict[str, Any] = {
            "tokens": [token.text for token in doc],
            "tags": _write_bilou(entities, len(doc)),
            "relations": [{"head": head, "tail": tail, "type": label} for head, tail, label in relations],
        }
        if ORIG_ID in doc.user_data:
            sentence[ORIG_ID] = doc.user_data[ORIG_ID]
        sentences.append(sentence)
    return sentences, report


def _read_bilou(tags: list[Any], where: str) -> list[EntityOffsets]:
    entities: list[EntityOffsets] = []
    start, open_label = 0, ""
    for position, tag in enumerate(tags):
        # A label may hold a hyphen itself: Adverse-Effect.
        prefix, _, label = tag.partition("-") if isinstance(tag, str) else ("", "", "")
        if not (tag == "O" or (prefix in ("B", "I", "L", "U") and label.strip())):
            raise ValueError(f"{where}: tag {position} is {tag!r}; expected O, or B-, I-, L- or U- followed by a label")
        if (prefix in ("I", "L")) != bool(open_label) or (open_label and label != open_label):
            expected = f"I-{open_label} or L-{open_label}" if open_label else "O, B- or U-"
            raise ValueError(
                f"{where}: tag {position} is {tag!r} where {expected} must follow. "
                "An entity of one token is U-, a longer one B-, I-, ..., L- with one label"
            )
        if prefix in ("B", "U"):
            start = position
        if prefix in ("L", "U"):
            entities.append((start, position + 1, label))
        open_label = label if prefix in ("B", "I") else ""
    if open_label:
        raise ValueError(f"{where}: the last tag is {tags[-1]!r}; expected L-{open_label} to close the entity")
    return entities


def _write_bilou(entities: Iterable[EntityOffsets], n_tokens: int) -> list[str]:
    tags = ["O"] * n_tokens
    for start, end, label in entities:
        if end - start == 1:
            tags[start] = f"U-{label}"
        else:
            tags[start:end] = [f"B-{label}", *[f"I-{label}"] * (end - start - 2), f"L-{label}"]
    return tags

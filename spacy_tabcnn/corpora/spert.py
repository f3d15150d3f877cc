"""SpERT's JSON: an array of sentences
`{tokens, entities: [{type, start, end}], relations: [{type, head, tail}], orig_id}`.

Offsets count tokens and `end` is exclusive; `head` and `tail` are positions in `entities`; `orig_id` may be
absent.
"""

from collections.abc import Iterable
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc

from .annotations import EntityOffsets, docs_to_sentences, get_field, get_label, sentences_to_docs
from .report import ConversionReport


def spert_to_docs(
    sentences: Any, nlp: Language, *, source: str = "<data>", strict: bool = False
) -> tuple[list[Doc], ConversionReport]:
    """Turn SpERT's JSON into annotated documents with the gold tokens.

    sentences (Any): The decoded JSON array.
    nlp (Language): Gives the vocabulary.
    source (str): The file, for messages.
    strict (bool): Stop at the first thing that cannot be kept.
    RETURNS (tuple[list[Doc], ConversionReport]): The documents, and what was read and left out.
    RAISES (ValueError): If the data is malformed, or in strict mode.
    """
    return sentences_to_docs(
        sentences, nlp, get_entities=_get_entities, source=source, strict=strict
    )


def docs_to_spert(
    docs: Iterable[Doc], *, source: str = "<docs>", strict: bool = False
) -> tuple[list[dict[str, Any]], ConversionReport]:
    """Turn documents into SpERT's JSON. Entities come in text order, relations in that of `doc._.relations`.
    Scores and the spaces between words have no place in this format.

    docs (Iterable[Doc]): Annotated documents.
    source (str): The file they come from, for messages.
    strict (bool): Stop at the first thing that cannot be represented.
    RETURNS (tuple[list[dict], ConversionReport]): The JSON array, and what was written and left out.
    RAISES (ValueError): In strict mode.
    """
    return docs_to_sentences(docs, entity_field=_entity_field, source=source, strict=strict)


def _get_entities(sentence: Any, n_tokens: int, where: str) -> list[EntityOffsets]:
    entities = []
    for position, entity in enumerate(get_field(sentence, "entities", list, where)):
        here = f"{where}, entity {position}"
        start, end = get_field(entity, "start", int, here), get_field(entity, "end", int, here)
        if not 0 <= start < end <= n_tokens:
            raise ValueError(
                f"{here}: it spans tokens {start} to {end} (exclusive), but the sentence has {n_tokens} "
                "tokens and an entity has at least one. Correct its start or end"
            )
        entities.append((start, end, get_label(entity, "type", here)))
    return entities


def _entity_field(doc: Doc, entities: list[EntityOffsets]) -> dict[str, Any]:
    return {
        "entities": [{"type": label, "start": start, "end": end} for start, end, label in entities]
    }

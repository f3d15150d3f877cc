"""SpERT's JSON.

The file is an array of sentences, or has one sentence a line:

    {tokens, entities: [{type, start, end}], relations: [{type, head, tail}], orig_id}

Offsets count tokens and `end` is exclusive. `head` and `tail` are positions in `entities`.
`orig_id` may be absent.
"""

from collections.abc import Iterable

from spacy.language import Language
from spacy.tokens import Doc

from .conversion import ConversionReport
from .fields import check_offsets, get_field, get_items, get_label
from .files import JsonObject, JsonValue
from .gold import EntityOffsets
from .options import DEFAULT_OPTIONS, ReadingOptions
from .records import Content
from .sentence_formats import docs_to_sentences, sentences_to_docs


def spert_to_docs(
    sentences: Content,
    nlp: Language,
    *,
    source: str = "<data>",
    strict: bool = False,
    options: ReadingOptions = DEFAULT_OPTIONS,
) -> tuple[list[Doc], ConversionReport]:
    """Turn SpERT's JSON into annotated documents with the gold tokens.

    sentences (Content): The decoded JSON array, or records.
    nlp (Language): Gives the vocabulary.
    source (str): The file, for messages.
    strict (bool): Refuse entities and relations that cannot be kept.
    options (ReadingOptions): The choices of the user.
    RETURNS (tuple[list[Doc], ConversionReport]): The documents, and counts of the kept and the
        left-out parts.
    RAISES (ValueError): If the data is malformed, or in strict mode.
    """
    return sentences_to_docs(
        sentences,
        nlp,
        get_entities=_get_entities,
        source=source,
        strict=strict,
        options=options,
    )


def docs_to_spert(
    docs: Iterable[Doc], *, source: str = "<docs>", strict: bool = False
) -> tuple[list[JsonObject], ConversionReport]:
    """Turn documents into SpERT's JSON.

    Entities are in text order, relations in the order of `doc._.relations`. The format has no place
    for scores and for the spaces between words.

    docs (Iterable[Doc]): Annotated documents.
    source (str): The file they come from, for messages.
    strict (bool): Stop at the first entity or relation that cannot be represented.
    RETURNS (tuple[list[JsonObject], ConversionReport]): The JSON array, and counts of the written
        and the left-out parts.
    RAISES (ValueError): In strict mode.
    """
    return docs_to_sentences(docs, get_entity_field=_render_entities, source=source, strict=strict)


def _get_entities(sentence: JsonValue, n_tokens: int, where: str) -> list[EntityOffsets]:
    entities = []
    for here, entity in get_items(sentence, "entities", "entity", where):
        start = get_field(entity, "start", int, here)
        end = get_field(entity, "end", int, here)
        check_offsets(start, end, n_tokens, "tokens", here)
        entities.append((start, end, get_label(entity, "type", here)))
    return entities


def _render_entities(doc: Doc, entities: list[EntityOffsets]) -> JsonObject:
    rendered = []
    for start, end, label in entities:
        rendered.append({"type": label, "start": start, "end": end})
    return {"entities": rendered}

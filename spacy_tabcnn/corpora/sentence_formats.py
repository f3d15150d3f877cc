"""The common part of formats with one JSON object for each sentence.

These are the layouts of SpERT and TablERT. Their sentences have the fields `tokens`, `relations`
and `orig_id`, and differ in the field of the entities. A sentence without the field `relations` has
no annotation of relations.
"""

from collections.abc import Callable, Iterable

from spacy.language import Language
from spacy.tokens import Doc

from ..relations import has_relations
from .conversion import ConversionReport
from .fields import (
    check_tokens,
    get_field,
    get_items,
    get_label,
    get_orig_id,
    has_field,
    locate,
    show_number,
)
from .files import JsonObject, JsonValue
from .gold import ORIG_ID, EntityOffsets, RelationIndices, get_doc_id, get_gold, set_gold
from .options import ReadingOptions
from .records import Content, collect_record_docs, to_records


def sentences_to_docs(
    sentences: Content,
    nlp: Language,
    *,
    get_entities: Callable[[JsonValue, int, str], list[EntityOffsets]],
    source: str,
    strict: bool,
    options: ReadingOptions,
) -> tuple[list[Doc], ConversionReport]:
    """Turn sentences into annotated documents.

    sentences (Content): A decoded JSON array, or records.
    nlp (Language): Gives the vocabulary.
    get_entities (Callable): Returns the entities of a sentence from its JSON object, its number of
        tokens and its place in the file.
    source (str): The file, for messages.
    strict (bool): Refuse entities and relations that cannot be kept.
    options (ReadingOptions): The choices of the user.
    RETURNS (tuple[list[Doc], ConversionReport]): The documents, and counts of the kept and the
        left-out parts.
    RAISES (ValueError): If the data is malformed, or in strict mode.
    """
    report = ConversionReport(source, strict)

    def read_sentence(sentence: JsonValue, part: ConversionReport, where: str) -> list[Doc]:
        orig_id = get_orig_id(sentence, ORIG_ID, where)
        where = locate(where, ORIG_ID, orig_id)
        tokens = check_tokens(get_field(sentence, "tokens", list, where), where)
        doc = Doc(nlp.vocab, words=tokens)
        entities = get_entities(sentence, len(doc), where)
        relations = _get_relations(sentence, len(entities), where)
        set_gold(
            doc,
            entities,
            relations,
            orig_id=orig_id,
            report=part,
            where=where,
            overlap=options.overlap,
        )
        return [doc]

    records = to_records(sentences, source, "sentence")
    docs = collect_record_docs(records, read_sentence, report, skip_bad=options.skip_bad)
    return docs, report


def docs_to_sentences(
    docs: Iterable[Doc],
    *,
    get_entity_field: Callable[[Doc, list[EntityOffsets]], JsonObject],
    source: str,
    strict: bool,
) -> tuple[list[JsonObject], ConversionReport]:
    """Turn documents into a JSON array of sentences; the inverse of `sentences_to_docs`.

    docs (Iterable[Doc]): Annotated documents.
    get_entity_field (Callable): Returns the field that holds a document's entities, with its name.
    source (str): The file they come from, for messages.
    strict (bool): Stop at the first entity or relation that cannot be represented.
    RETURNS (tuple[list[JsonObject], ConversionReport]): The JSON array, and counts of the written
        and the left-out parts.
    RAISES (ValueError): In strict mode.
    """
    report = ConversionReport(source, strict)
    sentences = []
    for index, doc in enumerate(docs):
        where = f"{source}, sentence {index}"
        orig_id = get_doc_id(doc, where)
        where = locate(where, ORIG_ID, orig_id)
        entities, relations = get_gold(doc, report=report, where=where, may_lack=["relations"])
        sentence: JsonObject = {
            "tokens": [token.text for token in doc],
            **get_entity_field(doc, entities),
        }
        if has_relations(doc):
            sentence["relations"] = list(map(_render_relation, relations))
        if orig_id is not None:
            sentence[ORIG_ID] = orig_id
        sentences.append(sentence)
    return sentences, report


def _get_relations(
    sentence: JsonValue, n_entities: int, where: str
) -> list[RelationIndices] | None:
    """Return the relations of a sentence, or None if they were not annotated."""
    if not has_field(sentence, "relations"):
        return None
    relations = []
    for here, relation in get_items(sentence, "relations", "relation", where):
        head = _get_argument(relation, "head", n_entities, here)
        tail = _get_argument(relation, "tail", n_entities, here)
        relations.append((head, tail, get_label(relation, "type", here)))
    return relations


def _get_argument(relation: JsonValue, role: str, n_entities: int, where: str) -> int:
    index = get_field(relation, role, int, where)
    if not 0 <= index < n_entities:
        raise ValueError(
            f"{where}: its {role} is entity {show_number(index)}, but the sentence has "
            f"{n_entities} entities, counted from 0. Correct the index"
        )
    return index


def _render_relation(relation: RelationIndices) -> JsonObject:
    head, tail, label = relation
    return {"type": label, "head": head, "tail": tail}

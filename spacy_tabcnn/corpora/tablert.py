"""TablERT's and TablERT-CNN's JSON: an array of sentences
`{tokens, tags: [BILOU-label], relations: [{head, tail, type}], orig_id}`.

`head` and `tail` are positions among the entities that the tags hold, in text order; `orig_id` may be absent.
"""

from collections.abc import Iterable
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training.iob_utils import doc_to_biluo_tags

from .annotations import EntityOffsets, docs_to_sentences, get_field, sentences_to_docs
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
    return sentences_to_docs(
        sentences, nlp, get_entities=_get_entities, source=source, strict=strict
    )


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
    return docs_to_sentences(docs, entity_field=_entity_field, source=source, strict=strict)


def _get_entities(sentence: Any, n_tokens: int, where: str) -> list[EntityOffsets]:
    tags = get_field(sentence, "tags", list, where)
    if len(tags) != n_tokens:
        raise ValueError(
            f"{where}: {len(tags)} tags for {n_tokens} tokens. Give each token one tag"
        )
    entities: list[EntityOffsets] = []
    start, open_label = 0, ""
    for position, tag in enumerate(tags):
        # A label may hold a hyphen itself: Adverse-Effect.
        prefix, _, label = tag.partition("-") if isinstance(tag, str) else ("", "", "")
        if not (tag == "O" or (prefix in ("B", "I", "L", "U") and label.strip())):
            raise ValueError(
                f"{where}: tag {position} is {tag!r}; expected O, or B-, I-, L- or U- followed by a label"
            )
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
        raise ValueError(
            f"{where}: the last tag is {tags[-1]!r}; expected L-{open_label} to close the entity"
        )
    return entities


def _entity_field(doc: Doc, entities: list[EntityOffsets]) -> dict[str, Any]:
    return {
        "tags": ["O" if tag == "-" else tag for tag in doc_to_biluo_tags(doc)]
    }  # "-" is spaCy's "not annotated"

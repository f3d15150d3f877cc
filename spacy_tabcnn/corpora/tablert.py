"""TablERT's and TablERT-CNN's JSON.

The file is an array of sentences, or has one sentence a line:

    {tokens, tags: [BILOU-label], relations: [{head, tail, type}], orig_id}

`head` and `tail` are positions among the entities of the tags, in text order. `orig_id` may be
absent.
"""

from collections.abc import Iterable

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training.iob_utils import doc_to_biluo_tags

from .conversion import ConversionReport
from .fields import get_field, shorten
from .files import JsonObject, JsonValue
from .gold import EntityOffsets
from .options import DEFAULT_OPTIONS, ReadingOptions
from .records import Content
from .sentence_formats import docs_to_sentences, sentences_to_docs


def tablert_to_docs(
    sentences: Content,
    nlp: Language,
    *,
    source: str = "<data>",
    strict: bool = False,
    options: ReadingOptions = DEFAULT_OPTIONS,
) -> tuple[list[Doc], ConversionReport]:
    """Turn TablERT's JSON into annotated documents with the gold tokens.

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


def docs_to_tablert(
    docs: Iterable[Doc], *, source: str = "<docs>", strict: bool = False
) -> tuple[list[JsonObject], ConversionReport]:
    """Turn documents into TablERT's JSON.

    Relations are in the order of `doc._.relations`. The format has no place for scores and for the
    spaces between words.

    docs (Iterable[Doc]): Annotated documents.
    source (str): The file they come from, for messages.
    strict (bool): Stop at the first entity or relation that cannot be represented.
    RETURNS (tuple[list[JsonObject], ConversionReport]): The JSON array, and counts of the written
        and the left-out parts.
    RAISES (ValueError): In strict mode.
    """
    return docs_to_sentences(docs, get_entity_field=_render_tags, source=source, strict=strict)


def _get_entities(sentence: JsonValue, n_tokens: int, where: str) -> list[EntityOffsets]:
    tags = get_field(sentence, "tags", list, where)
    if len(tags) != n_tokens:
        raise ValueError(
            f"{where}: {len(tags)} tags for {n_tokens} tokens. Give each token one tag"
        )
    entities: list[EntityOffsets] = []
    start, open_label = 0, ""
    for position, tag in enumerate(tags):
        here = f"{where}: tag {position} is {shorten(repr(tag))}"
        prefix, label = _split_tag(tag, here)
        _check_sequence(prefix, label, open_label, here)
        if prefix in ("B", "U"):
            start = position
        if prefix in ("L", "U"):
            entities.append((start, position + 1, label))
        open_label = ""
        if prefix in ("B", "I"):
            open_label = label
    if open_label:
        raise ValueError(
            f"{where}: the last tag is {tags[-1]!r}; expected L-{open_label} to close the entity"
        )
    return entities


def _split_tag(tag: JsonValue, where: str) -> tuple[str, str]:
    """Return the prefix of a tag and its label, which is empty for O."""
    if tag == "O":
        return "O", ""
    if isinstance(tag, str):
        # A label may hold a hyphen itself: Adverse-Effect.
        prefix, _, label = tag.partition("-")
        if prefix in ("B", "I", "L", "U") and label.strip():
            return prefix, label
    raise ValueError(f"{where}; expected O, or B-, I-, L- or U- followed by a label")


def _check_sequence(prefix: str, label: str, open_label: str, where: str) -> None:
    """Check that a tag may follow an entity that is open, or no such entity."""
    continues = prefix in ("I", "L")
    if open_label:
        valid = continues and label == open_label
        expected = f"I-{open_label} or L-{open_label}"
    else:
        valid = not continues
        expected = "O, B- or U-"
    if not valid:
        raise ValueError(
            f"{where} where {expected} must follow. "
            "An entity of one token is U-, a longer one B-, I-, ..., L- with one label"
        )


def _render_tags(doc: Doc, entities: list[EntityOffsets]) -> JsonObject:
    tags = []
    for tag in doc_to_biluo_tags(doc):
        if tag == "-":  # spaCy's tag for "not annotated"
            tag = "O"
        tags.append(tag)
    return {"tags": tags}

"""New documents from annotated ones: joined documents, and spans as documents.

spaCy's own `Doc.from_docs` and `Span.as_doc` leave out annotation. These functions keep it.
"""

import copy
import itertools
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias, TypeGuard, TypeVar, cast

from spacy.tokens import Doc, Span
from spacy.vocab import Vocab
from thinc.types import Ints2d

from .relations import (
    Relation,
    get_relations,
    has_relations,
    is_stored_by_key,
    list_entity_scores,
    set_entity_scores,
    set_relations,
)
from .storage import get_user_data

# The key of `doc.user_data` with the id that a document has in its corpus.
ORIG_ID = "orig_id"

# The key of `doc.user_data` with the value of an extension attribute: "._.", name, start, end. The
# offsets are characters. The end is None for a token; both are None for a document.
_AttributeKey: TypeAlias = tuple[str, str, int, int | None]
# The output of an encoder for the words of a document, as spacy-transformers stores it.
_ENCODER_OUTPUT = ("._.", "trf_data", None, None)
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

# spaCy's annotation of `from_docs` lacks `exclude`.
_FROM_DOCS: Callable[..., Doc] = Doc.from_docs


class _Part(NamedTuple):
    """A part of a new document.

    source (Span): The words, in their own document.
    first (int): Index of the first of these words in the new document.
    """

    source: Span
    first: int

    def holds(self, span: Span) -> bool:
        """Check whether a span of the source's document lies inside the part."""
        return self.source.start <= span.start and span.end <= self.source.end

    def copy_span(self, span: Span, doc: Doc) -> Span:
        """Return a copy of a span of the source's document for the new document."""
        shift = self.first - self.source.start
        return Span(
            doc,
            span.start + shift,
            span.end + shift,
            label=span.label,
            kb_id=span.kb_id,
            span_id=span.id,
        )


def join_docs(docs: Iterable[Doc]) -> Doc:
    """Join documents to one document.

    The result has the words of all documents, with white space between two documents. It has their
    annotation: entities with scores, relations, span groups, attributes of tokens and spans. A
    document begins a sentence; within a document, sentence boundaries stay as they are. Relations
    are set if they are set on all documents that have words.

    Data of whole documents (`doc.cats`, `doc.user_data` and extension attributes of `Doc`) is kept
    where all documents have the same data. A warning names the data that is left out. Different
    values of `doc.user_data["orig_id"]` are joined by " + ". The output of an encoder,
    `doc._.trf_data`, is left out.

    docs (Iterable[Doc]): At least one document. All share a vocabulary. They are not changed.
    RETURNS (Doc): A new document.
    RAISES (ValueError): If there is no document, or the vocabularies differ.
    """
    sources = list(docs)
    if not sources:
        raise ValueError("join_docs: there is no document to join; expected at least one")
    # spaCy warns about each item of user data that it leaves out.
    exclude = ["user_data"]
    if len({doc.tensor.shape[1:] for doc in sources if len(doc)}) > 1:
        exclude.append("tensor")
    joined = _FROM_DOCS(sources, exclude=exclude)
    joined.has_unknown_spaces = any(doc.has_unknown_spaces for doc in sources)
    parts = list(_list_parts(sources))
    _start_sentences(joined, parts)
    for part in parts:
        _move_user_data(joined, part)
    _share_data(joined, sources)
    _copy_scores(joined, parts)
    _join_relations(joined, parts)
    return joined


def span_to_doc(span: Span) -> Doc:
    """Copy a span to a document of its own.

    The copy has the annotation of the span, with the relations whose head and tail lie inside the
    span, and the data of the whole document except `doc.cats` and `doc._.trf_data`. An entity that
    the span cuts becomes unannotated, as in `Span.as_doc`.

    span (Span): The span, for example a sentence.
    RETURNS (Doc): A new document.
    """
    doc = span.as_doc()
    part = _Part(span, 0)
    _move_user_data(doc, part)
    get_user_data(doc).update(_get_document_data(span.doc))
    _copy_groups(doc, part)
    _copy_scores(doc, [part])
    if has_relations(span.doc):
        set_relations(doc, _copy_relations(doc, part))
    return doc


def copy_words(doc: Doc, vocab: Vocab, *, sentences: bool = False) -> Doc:
    """Return a document with the same words and spaces, without annotation.

    doc (Doc): The document.
    vocab (Vocab): The vocabulary of the copy.
    sentences (bool): Copy the sentence boundaries, too.
    RETURNS (Doc): The copy.
    """
    words = [token.text for token in doc]
    spaces = [bool(token.whitespace_) for token in doc]
    starts: list[bool | int | None] | None = None
    if sentences:
        starts = [bool(token.is_sent_start) for token in doc]
    return Doc(vocab, words=words, spaces=spaces, sent_starts=starts)


def _list_parts(docs: Iterable[Doc]) -> Iterator[_Part]:
    first = 0
    for doc in docs:
        if len(doc):
            yield _Part(doc[:], first)
        first += len(doc)


def _start_sentences(joined: Doc, parts: Iterable[_Part]) -> None:
    """Mark the first word of each part as the start of a sentence."""
    # spaCy refuses `token.is_sent_start = True` on parsed documents. No part's tree goes on in
    # the next part, so the mark agrees with the trees.
    starts = joined.to_array("SENT_START")
    for part in parts:
        starts[part.first] = 1
    joined.from_array(["SENT_START"], cast(Ints2d, starts[:, None]))


def _move_user_data(doc: Doc, part: _Part) -> None:
    """Copy the data of tokens and spans that lie inside a part."""
    source = part.source
    shift = doc[part.first].idx - source.start_char
    moved = get_user_data(doc)
    for key, value in get_user_data(source.doc).items():
        if is_stored_by_key(key) or not _has_offsets(key):
            continue
        start, end = key[2:]
        if start < source.start_char or (end or start + 1) > source.end_char:
            continue  # it lies outside the part
        if end is not None:
            end += shift
        moved[(*key[:2], start + shift, end)] = copy.copy(value)


def _has_offsets(key: object) -> TypeGuard[_AttributeKey]:
    if not isinstance(key, tuple) or len(key) != 4 or key[0] != "._.":
        return False
    return key[2] is not None


def _get_document_data(doc: Doc) -> dict[Hashable, object]:
    """Return a copy of the items of `doc.user_data` that belong to the whole document."""
    data = {}
    for key, value in get_user_data(doc).items():
        if key != _ENCODER_OUTPUT and not is_stored_by_key(key) and not _has_offsets(key):
            data[key] = copy.copy(value)
    return data


def _share_data(joined: Doc, docs: Sequence[Doc]) -> None:
    """Keep the data of whole documents where all documents have the same data."""
    data = list(map(_get_document_data, docs))
    shared, different = _compare(data)
    if ORIG_ID in different:
        different.remove(ORIG_ID)
        ids = dict.fromkeys(str(items[ORIG_ID]) for items in data if ORIG_ID in items)
        shared[ORIG_ID] = " + ".join(ids)
    joined.cats, different_cats = _compare([doc.cats for doc in docs])
    get_user_data(joined).update(shared)
    _warn_of_lost([*different, *different_cats])


def _compare(data: Sequence[Mapping[_Key, _Value]]) -> tuple[dict[_Key, _Value], list[_Key]]:
    """Return the items that all dictionaries have, and the keys of the other items."""
    shared: dict[_Key, _Value] = {}
    different: list[_Key] = []
    for key in dict.fromkeys(itertools.chain(*data)):
        values = [items[key] for items in data if key in items]
        if len(values) == len(data) and all(_is_equal(value, values[0]) for value in values):
            shared[key] = values[0]
        else:
            different.append(key)
    return shared, different


def _is_equal(one: object, other: object) -> bool:
    try:
        return bool(one == other)
    except ValueError:  # arrays
        return False


def _warn_of_lost(keys: Sequence[object]) -> None:
    if keys:
        names = ", ".join(sorted(map(_name_key, keys)))
        warnings.warn(
            f"join_docs: left out data in which the documents differ: {names}. Remove it from the "
            "documents before, or set it on the joined document",
            stacklevel=4,
        )


def _name_key(key: object) -> str:
    if isinstance(key, tuple) and len(key) == 4:
        return f"doc._.{key[1]}"
    return str(key)


def _copy_groups(doc: Doc, part: _Part) -> None:
    """Copy the spans of span groups that lie inside a part."""
    for name, group in part.source.doc.spans.items():
        kept = []
        for span in group:
            if part.holds(span):
                kept.append(part.copy_span(span, doc))
        doc.spans[name] = kept


def _copy_scores(doc: Doc, parts: Iterable[_Part]) -> None:
    spans: list[Span] = []
    scores: list[float] = []
    for part in parts:
        for span, score in list_entity_scores(part.source.doc):
            if part.holds(span):
                spans.append(part.copy_span(span, doc))
                scores.append(score)
    if spans:
        set_entity_scores(doc, spans, scores)


def _join_relations(doc: Doc, parts: Sequence[_Part]) -> None:
    relations: list[Relation] = []
    are_set = []
    for part in parts:
        are_set.append(has_relations(part.source.doc))
        relations.extend(_copy_relations(doc, part))
    if are_set and all(are_set):
        set_relations(doc, relations)
    elif any(are_set):
        warnings.warn(
            f"join_docs: relations are set on {sum(are_set)} of {len(parts)} documents, so the "
            "joined document has none. Set doc._.relations = [] on documents without relations",
            stacklevel=3,
        )


def _copy_relations(doc: Doc, part: _Part) -> Iterator[Relation]:
    """Yield a copy of the relations that lie inside a part."""
    for head, tail, label, score in get_relations(part.source.doc):
        if part.holds(head) and part.holds(tail):
            yield Relation(part.copy_span(head, doc), part.copy_span(tail, doc), label, score)

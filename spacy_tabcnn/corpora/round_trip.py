"""Round trips: documents written in an annotation format, read again and compared."""

import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, TypeAlias

from spacy.language import Language
from spacy.tokens import Doc

from ..evaluation.items import EntityItem, RelationItem, entity_items, relation_items
from .conversion import Reason
from .formats import read_annotations, write_annotations
from .preannotation import Written


class RoundTrip(NamedTuple):
    """The comparison of documents before and after a round trip.

    n_docs (int): Number of documents that were written.
    n_same (int): Number of documents that came back with the same letters, entities and relations.
    n_same_tokens (int): Number of documents that came back with the same tokens as well.
    entities (tuple[int, int, int]): Numbers of entities that were written, lost, and added.
    relations (tuple[int, int, int]): Numbers of relations that were written, lost, and added.
    reasons (Counter[Reason]): Number of parts that writing and reading left out, by reason.
    """

    n_docs: int
    n_same: int
    n_same_tokens: int
    entities: tuple[int, int, int]
    relations: tuple[int, int, int]
    reasons: Counter[Reason]

    @property
    def is_identical(self) -> bool:
        """Check whether exactly the same entities and relations of all documents came back.

        RETURNS (bool): True if nothing was lost or added.
        """
        return self.n_same == self.n_docs and not any((*self.entities[1:], *self.relations[1:]))


class _Content(NamedTuple):
    """The compared parts of a document; its annotation counts in letters."""

    letters: str
    entities: frozenset[EntityItem]
    relations: frozenset[RelationItem]
    tokens: tuple[str, ...]


_NOTHING = _Content("", frozenset(), frozenset(), ())
# The documents that came back, by their letters.
_Returned: TypeAlias = defaultdict[str, list[_Content]]


def measure_round_trip(docs: Iterable[Doc], nlp: Language, *, format_name: str) -> RoundTrip:
    """Write documents to a file, read it and compare.

    docs (Iterable[Doc]): Annotated documents.
    nlp (Language): Gives the vocabulary, and the tokenizer if the format holds raw text.
    format_name (str): The annotation format.
    RETURNS (RoundTrip): The comparison. Positions are counted in letters, without spaces and line
        breaks, since some formats do not hold these. Documents may come back in another order.
    RAISES (ValueError): If the format cannot hold the documents, or its own file cannot be read.
    """
    docs = list(docs)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "written"
        # As predictions, some formats would hold them in another place.
        written = write_annotations(
            path, docs, format_name=format_name, written_as=Written.ANNOTATIONS
        )
        back, read = read_annotations(path, nlp, format_name=format_name)
    return compare_documents(docs, back)._replace(reasons=written.dropped + read.dropped)


def compare_documents(docs: Sequence[Doc], back: Sequence[Doc]) -> RoundTrip:
    """Compare documents before and after a round trip.

    Documents with the same letters form a pair, in any order; among several such documents, those
    with the same annotation come first.

    docs (Sequence[Doc]): The documents.
    back (Sequence[Doc]): The documents that came back.
    RETURNS (RoundTrip): The comparison, without reasons.
    """
    before = list(map(_get_content, docs))
    returned: _Returned = defaultdict(list)
    for content in map(_get_content, back):
        returned[content.letters].append(content)
    different = []
    n_same_tokens = 0
    for content in before:
        twin = _take_twin(content, returned)
        if twin is None:
            different.append(content)
        else:
            n_same_tokens += int(twin.tokens == content.tokens)
    pairs = _pair_rest(different, returned)
    return RoundTrip(
        n_docs=len(docs),
        n_same=len(docs) - len(different),
        n_same_tokens=n_same_tokens,
        entities=_count_changes(before, pairs, attrgetter("entities")),
        relations=_count_changes(before, pairs, attrgetter("relations")),
        reasons=Counter(),
    )


def _get_content(doc: Doc) -> _Content:
    return _Content(
        "".join(doc.text.split()),
        frozenset(entity_items(doc)),
        frozenset(relation_items(doc)),
        tuple(token.text for token in doc),
    )


def _take_twin(content: _Content, returned: _Returned) -> _Content | None:
    """Remove and return a document that came back with the same annotation, or return None.

    A document that also has the same tokens is preferred.
    """
    candidates = [other for other in returned[content.letters] if other[:3] == content[:3]]
    if not candidates:
        return None
    twin = candidates[0]
    if content in candidates:
        twin = content
    returned[content.letters].remove(twin)
    return twin


def _pair_rest(
    different: Iterable[_Content], returned: _Returned
) -> list[tuple[_Content, _Content]]:
    """Return the pairs of different documents with the same letters.

    A document without a partner forms a pair with an empty one.
    """
    pairs = []
    for content in different:
        others = returned[content.letters]
        if others:
            pairs.append((content, others.pop(0)))
        else:
            pairs.append((content, _NOTHING))
    for others in returned.values():
        for other in others:
            pairs.append((_NOTHING, other))
    return pairs


def _count_changes(
    before: Iterable[_Content],
    pairs: Iterable[tuple[_Content, _Content]],
    get_items: Callable[[_Content], frozenset[object]],
) -> tuple[int, int, int]:
    """Return the numbers of items that were written, lost, and added."""
    written = lost = added = 0
    for content in before:
        written += len(get_items(content))
    for old, new in pairs:
        lost += len(get_items(old) - get_items(new))
        added += len(get_items(new) - get_items(old))
    return written, lost, added

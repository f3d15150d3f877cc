"""Documents written in an annotation format and read back: what is still the same."""

import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from spacy.language import Language
from spacy.tokens import Doc

from ..evaluation.items import EntityItem, RelationItem, entity_items, relation_items
from .formats import read_annotations, write_annotations
from .report import Reason


class RoundTrip(NamedTuple):
    """The comparison of documents with what came back.

    n_docs (int): Documents that were written.
    n_same (int): Those that came back with the same letters, entities and relations.
    n_same_tokens (int): Those that came back with the same tokens as well.
    entities (tuple[int, int, int]): Entities written, lost and found on the way.
    relations (tuple[int, int, int]): Relations written, lost and found on the way.
    reasons (Counter[Reason]): What writing and reading have left out, as they report it.
    """

    n_docs: int
    n_same: int
    n_same_tokens: int
    entities: tuple[int, int, int]
    relations: tuple[int, int, int]
    reasons: Counter[Reason]

    @property
    def is_identical(self) -> bool:
        """Whether all entities and relations of all documents came back, and nothing else."""
        return self.n_same == self.n_docs and not any((*self.entities[1:], *self.relations[1:]))


class _Content(NamedTuple):
    """What is compared of a document; its annotation counts in letters."""

    letters: str
    entities: frozenset[EntityItem]
    relations: frozenset[RelationItem]
    tokens: tuple[str, ...]


def measure_round_trip(docs: Iterable[Doc], nlp: Language, *, format_name: str) -> RoundTrip:
    """Write documents to a file, read it and compare.

    docs (Iterable[Doc]): Annotated documents.
    nlp (Language): Gives the vocabulary, and the tokenizer where the format holds raw text.
    format_name (str): The annotation format.
    RETURNS (RoundTrip): The comparison. Positions are counted in letters, without spaces and line breaks, which not
        every format holds. Documents may come back in another order.
    RAISES (ValueError): If the format cannot hold the documents, or what it wrote cannot be read.
    """
    docs = list(docs)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "written"
        written = write_annotations(path, docs, format_name=format_name)
        back, read = read_annotations(path, nlp, format_name=format_name)
    return compare_documents(docs, back)._replace(reasons=written.dropped + read.dropped)


def compare_documents(docs: Sequence[Doc], back: Sequence[Doc]) -> RoundTrip:
    """Compare documents with those that came back, in any order: those of the same letters, and of several such the
    ones with the same annotation first.

    docs (Sequence[Doc]): The documents.
    back (Sequence[Doc]): What came back.
    RETURNS (RoundTrip): The comparison, without reasons.
    """
    before = [_content(doc) for doc in docs]
    returned: defaultdict[str, list[_Content]] = defaultdict(list)
    for doc in back:
        content = _content(doc)
        returned[content.letters].append(content)
    n_same_tokens = 0
    different = []
    for content in before:
        others = returned[content.letters]
        twins = [other for other in others if other[:3] == content[:3]]
        if twins:
            twin = content if content in twins else twins[0]
            others.remove(twin)
            n_same_tokens += twin == content
        else:
            different.append(content)
    nothing = _Content("", frozenset(), frozenset(), ())
    pairs = [
        (content, returned[content.letters].pop(0) if returned[content.letters] else nothing)
        for content in different
    ]
    pairs += [(nothing, other) for others in returned.values() for other in others]
    return RoundTrip(
        len(docs),
        len(docs) - len(different),
        n_same_tokens,
        (
            sum(len(content.entities) for content in before),
            sum(len(old.entities - new.entities) for old, new in pairs),
            sum(len(new.entities - old.entities) for old, new in pairs),
        ),
        (
            sum(len(content.relations) for content in before),
            sum(len(old.relations - new.relations) for old, new in pairs),
            sum(len(new.relations - old.relations) for old, new in pairs),
        ),
        Counter(),
    )


def _content(doc: Doc) -> _Content:
    return _Content(
        "".join(doc.text.split()),
        frozenset(entity_items(doc)),
        frozenset(relation_items(doc)),
        tuple(token.text for token in doc),
    )

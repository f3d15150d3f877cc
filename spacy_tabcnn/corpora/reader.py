"""The corpus reader for training: .spacy files with relations."""

import random
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby, islice
from pathlib import Path

from spacy.errors import Errors
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example

from ..documents import ORIG_ID, copy_words, join_docs
from ..groups import group_items
from ..pipeline.base import GOLD_ENTITIES
from ..relations import Relation, get_relations, has_relations, set_relations
from .docbin import DOCBIN_SUFFIX, list_docbins, read_docbin
from .gold import number_sentences

NAME = "spacy-tabcnn.RelationCorpus.v1"


class RelationCorpus:
    """Read examples with entities and relations from a .spacy file or a folder of them.

    It differs from `spacy.Corpus.v1` in two points: it keeps relations, also when it splits
    documents into sentences, and it keeps the gold tokens by default. Documents without words are
    skipped.

    When documents are split, entities and relations that cross the border of a sentence are left
    out, with one warning that counts them. The words of such an entity become unannotated.

    path (str | Path | None): The file or folder.
    gold_tokens (bool): Predict on the words of the annotation. If False, the pipeline tokenises the
        text of the annotation and aligns it. If a corpus holds words only, this text joins them by
        spaces.
    split_sentences (bool): Make one example of each sentence, if a document has sentence
        boundaries.
    joined (float): Share of the documents to join to longer ones, between 0 and 1: a document is
        joined to its neighbours in the order of reading. A model that only sees single sentences in
        training mixes up the facts of neighbouring sentences in running text.
    min_joined (int): Minimum number of documents to join.
    max_joined (int): Maximum number of documents to join.
    gold_entities (bool): Give the entities of the annotation to the pipeline, for a component that
        relates given entities. It requires gold_tokens.
    gold_sentences (float): Share of the sentence boundaries of the annotation that the pipeline is
        given, between 0 and 1: 1 for a component that reads sentences, a little less to prepare it
        for boundaries that are missed in prediction. It requires gold_tokens.
    max_length (int): Split documents with more words into their sentences. Skip longer sentences,
        and longer documents without sentence boundaries. 0 means no limit.
    limit (int): Maximum number of documents to read. 0 means all.
    shuffle (bool): Use another order in every pass. It requires the whole corpus in memory.
    seed (int): Determines the orders, the joined documents and the given boundaries. They differ
        between passes.
    """

    def __init__(
        self,
        path: str | Path | None,
        *,
        gold_tokens: bool = True,
        split_sentences: bool = False,
        joined: float = 0.0,
        min_joined: int = 2,
        max_joined: int = 5,
        gold_entities: bool = False,
        gold_sentences: float = 0.0,
        max_length: int = 0,
        limit: int = 0,
        shuffle: bool = False,
        seed: int = 0,
    ) -> None:
        if path is None:
            raise ValueError(Errors.E913)
        _check_minimum("max_length", max_length)
        _check_minimum("limit", limit)
        _check_share("joined", joined)
        _check_share("gold_sentences", gold_sentences)
        if not 2 <= min_joined <= max_joined:
            raise ValueError(
                f"{NAME}: min_joined is {min_joined} and max_joined is {max_joined}; expected "
                "2 <= min_joined <= max_joined"
            )
        if not gold_tokens and (gold_entities or gold_sentences):
            raise ValueError(
                f"{NAME}: gold_entities and gold_sentences require gold_tokens = true, since the "
                "words of the annotation define its entities and sentences"
            )
        self.path = Path(path)
        self.gold_tokens = gold_tokens
        self.split_sentences = split_sentences
        self.joined = joined
        self.min_joined = min_joined
        self.max_joined = max_joined
        self.gold_entities = gold_entities
        self.gold_sentences = gold_sentences
        self.max_length = max_length
        self.limit = limit
        self.shuffle = shuffle
        self.seed = seed
        self._n_passes = 0

    def __call__(self, nlp: Language) -> Iterator[Example]:
        """Read the corpus once.

        nlp (Language): Gives the vocabulary, and the tokenizer if `gold_tokens` is False.
        YIELDS (Example): The examples.
        RAISES (ValueError): If the path does not exist, is not a .spacy file or holds no example.
        """
        lost: Counter[str] = Counter()
        rng = random.Random(f"{self.seed}/{self._n_passes}")
        self._n_passes += 1
        docs = islice(self._read_docs(nlp), self.limit or None)
        pieces = self._split(docs, lost)
        if self.shuffle:
            pieces = _shuffle(pieces, rng)
        is_empty = True
        for reference in self._join(pieces, rng):
            is_empty = False
            yield self._make_example(nlp, reference, rng)
        if lost:
            self._warn_of_lost(lost)
        if is_empty:
            self._refuse_empty()

    def _read_docs(self, nlp: Language) -> Iterator[Doc]:
        for path in _find_files(self.path):
            for doc in read_docbin(path, nlp.vocab):
                if len(doc):
                    yield doc

    def _split(self, docs: Iterable[Doc], lost: Counter[str]) -> Iterator[Doc]:
        for doc in docs:
            fits = not self.max_length or len(doc) <= self.max_length
            if fits and not self.split_sentences:
                yield doc
            elif doc.has_annotation("SENT_START"):
                yield from self._split_sentences(doc, lost)
            elif fits:
                yield doc
            else:
                lost["documents without sentence boundaries"] += 1

    def _split_sentences(self, doc: Doc, lost: Counter[str]) -> Iterator[Doc]:
        relations = _divide_relations(doc, lost)
        for sentence, held in zip(doc.sents, relations, strict=True):
            if self.max_length and len(sentence) > self.max_length:
                lost["sentences"] += 1
            else:
                yield _make_piece(sentence, held)

    def _join(self, docs: Iterator[Doc], rng: random.Random) -> Iterator[Doc]:
        if not self.joined:
            return docs
        groups = group_items(
            docs,
            rng,
            joined=self.joined,
            min_size=self.min_joined,
            max_size=self.max_joined,
        )
        return chain.from_iterable(map(_join_group, groups))

    def _make_example(self, nlp: Language, reference: Doc, rng: random.Random) -> Example:
        if not self.gold_tokens:
            return Example(nlp.make_doc(reference.text), reference)
        predicted = copy_words(reference, nlp.vocab)
        if self.gold_entities:
            predicted.set_ents([_copy_span(ent, predicted, 0) for ent in reference.ents])
            predicted.user_data[GOLD_ENTITIES] = True
        if self.gold_sentences and reference.has_annotation("SENT_START"):
            _give_sentences(predicted, reference, self.gold_sentences, rng)
        return Example(predicted, reference)

    def _warn_of_lost(self, lost: Counter[str]) -> None:
        counts = ", ".join(f"{count} {what}" for what, count in sorted(lost.items()))
        warnings.warn(
            f"{self.path}: left out by splitting or by max_length={self.max_length}: {counts}. "
            "Set sentence boundaries that no entity or relation crosses, or raise max_length",
            stacklevel=3,
        )

    def _refuse_empty(self) -> None:
        message = f"{self.path}: no example to read. Expected at least one document that has words"
        if self.max_length:
            message += f" and at most max_length={self.max_length} of them"
        raise ValueError(message)


def _check_minimum(name: str, value: int) -> None:
    if value < 0:
        raise ValueError(f"{NAME}: {name} is {value}; expected 0 (no limit) or more")


def _check_share(name: str, share: float) -> None:
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"{NAME}: {name} is {share}; expected a share between 0 and 1")


def _join_group(docs: list[Doc]) -> Iterator[Doc]:
    """Join the documents of a group.

    A document whose relations are annotated is not joined to one whose relations are unknown, since
    the relations of the whole would be unknown.
    """
    for _, alike in groupby(docs, has_relations):
        part = list(alike)
        if len(part) > 1:
            yield join_docs(part)
        else:
            yield part[0]


def _shuffle(docs: Iterable[Doc], rng: random.Random) -> Iterator[Doc]:
    shuffled = list(docs)
    rng.shuffle(shuffled)
    return iter(shuffled)


def _give_sentences(predicted: Doc, reference: Doc, share: float, rng: random.Random) -> None:
    """Set a share of the sentence boundaries of the reference, drawn at random."""
    for token, gold in zip(predicted[1:], reference[1:], strict=True):
        is_start = bool(gold.is_sent_start)
        token.is_sent_start = is_start and rng.random() < share


def _find_files(path: Path) -> list[Path]:
    """Return the .spacy files at or below a path, at least one."""
    if not path.exists():
        raise ValueError(
            f"{path}: no such file or folder. Check [paths] in the config, or convert the corpus "
            "first"
        )
    if not path.is_dir():
        return [path]
    paths = list_docbins(path)
    if not paths:
        raise ValueError(
            f"{path}: the folder holds no {DOCBIN_SUFFIX} file. Check the path, or convert the "
            "corpus first"
        )
    return paths


def _divide_relations(doc: Doc, lost: Counter[str]) -> list[list[Relation]]:
    """Return the relations of each sentence.

    Entities and relations that cross the border of a sentence are counted in `lost`.
    """
    sentence_of = number_sentences(doc)
    relations: list[list[Relation]] = [[] for _ in doc.sents]
    for relation in get_relations(doc):
        touched = _get_sentences(relation.head, sentence_of)
        touched |= _get_sentences(relation.tail, sentence_of)
        if len(touched) == 1:
            relations[touched.pop()].append(relation)
        else:
            lost["relations across sentences"] += 1
    for ent in doc.ents:
        if len(_get_sentences(ent, sentence_of)) > 1:
            lost["entities across sentences"] += 1
    return relations


def _get_sentences(span: Span, sentence_of: Sequence[int]) -> set[int]:
    """Return the sentences of the first and the last word of a span."""
    return {sentence_of[span.start], sentence_of[span.end - 1]}


def _make_piece(sentence: Span, relations: Iterable[Relation]) -> Doc:
    """Return a copy of a sentence as a document, with the relations of the sentence."""
    piece = sentence.as_doc()
    doc, start = sentence.doc, sentence.start
    if ORIG_ID in doc.user_data:
        piece.user_data[ORIG_ID] = doc.user_data[ORIG_ID]
    if has_relations(doc):
        copied = []
        for head, tail, label, score in relations:
            head, tail = _copy_span(head, piece, start), _copy_span(tail, piece, start)
            copied.append(Relation(head, tail, label, score))
        set_relations(piece, copied)
    return piece


def _copy_span(span: Span, doc: Doc, offset: int) -> Span:
    """Return a copy of a span for another document.

    That document begins at the word `offset` of the span's own document.
    """
    return Span(doc, span.start - offset, span.end - offset, label=span.label_)

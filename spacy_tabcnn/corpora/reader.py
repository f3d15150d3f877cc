"""The corpus reader for training: .spacy files with relations."""

import random
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from spacy.errors import Errors
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example

from ..relations import Relation, get_relations, has_relations, set_relations
from .annotations import ORIG_ID
from .docbin import DOCBIN_SUFFIX, read_docbin


class RelationCorpus:
    """Read examples with entities and relations from a .spacy file or a folder of them.

    Like `spacy.Corpus.v1`, but it keeps relations, also where it splits documents into sentences, and it
    keeps the gold tokens by default. Documents without words are skipped. Entities and relations that cross
    the border of a sentence are left out where documents are split, with one warning that counts them; the
    words of such an entity become unannotated.

    path (str | Path | None): The file or folder.
    gold_tokens (bool): Predict on the words of the annotation. If False, its text is tokenised by the
        pipeline and aligned; where a corpus holds words only, that text joins them by blanks.
    split_sentences (bool): Make one example of each sentence, where a document has sentence boundaries.
    gold_entities (bool): Give the entities of the annotation to the pipeline, for a component that relates given
        entities. It needs gold_tokens.
    max_length (int): Split documents of more words into their sentences, and skip sentences that are still
        longer and documents that have no sentence boundaries. 0 means no limit.
    limit (int): Read only this many documents. 0 means all.
    shuffle (bool): Give another order at every pass, which needs the whole corpus in memory.
    seed (int): Determines the orders.
    """

    def __init__(
        self,
        path: str | Path | None,
        *,
        gold_tokens: bool = True,
        split_sentences: bool = False,
        gold_entities: bool = False,
        max_length: int = 0,
        limit: int = 0,
        shuffle: bool = False,
        seed: int = 0,
    ) -> None:
        if path is None:
            raise ValueError(Errors.E913)
        for name, value in (("max_length", max_length), ("limit", limit)):
            if value < 0:
                raise ValueError(
                    f"spacy-tabcnn.RelationCorpus.v1: {name} is {value}; expected 0 (no limit) or more"
                )
        if gold_entities and not gold_tokens:
            raise ValueError(
                "spacy-tabcnn.RelationCorpus.v1: gold_entities = true needs gold_tokens = true, since entities are "
                "given by the words of the annotation"
            )
        self.path = Path(path)
        self.gold_tokens = gold_tokens
        self.split_sentences = split_sentences
        self.gold_entities = gold_entities
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
        paths = _find_files(self.path)
        lost: Counter[str] = Counter()
        docs = (doc for path in paths for doc in read_docbin(path, nlp.vocab) if len(doc))
        pieces = self._split(islice(docs, self.limit or None), lost)
        if self.shuffle:
            shuffled = list(pieces)
            random.Random(f"{self.seed}/{self._n_passes}").shuffle(shuffled)
            self._n_passes += 1
            pieces = iter(shuffled)
        n_examples = 0
        for reference in pieces:
            n_examples += 1
            yield self._make_example(nlp, reference)
        if lost:
            counts = ", ".join(f"{count} {what}" for what, count in sorted(lost.items()))
            warnings.warn(
                f"{self.path}: left out by splitting or by max_length={self.max_length}: {counts}. "
                "Set sentence boundaries that no entity or relation crosses, or raise max_length",
                stacklevel=2,
            )
        if not n_examples:
            raise ValueError(
                f"{self.path}: no example to read. Expected at least one document that has words"
                + (f" and at most max_length={self.max_length} of them" if self.max_length else "")
            )

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
        sentences = list(doc.sents)
        sentence_of = [index for index, sentence in enumerate(sentences) for _ in sentence]
        relations: list[list[Relation]] = [[] for _ in sentences]
        for relation in get_relations(doc):
            ends = [
                i for span in (relation.head, relation.tail) for i in (span.start, span.end - 1)
            ]
            touched = {sentence_of[i] for i in ends}
            if len(touched) == 1:
                relations[touched.pop()].append(relation)
            else:
                lost["relations across sentences"] += 1
        for ent in doc.ents:
            if sentence_of[ent.start] != sentence_of[ent.end - 1]:
                lost["entities across sentences"] += 1
        for sentence, held in zip(sentences, relations, strict=True):
            if self.max_length and len(sentence) > self.max_length:
                lost["sentences"] += 1
            else:
                yield _make_piece(sentence, held)

    def _make_example(self, nlp: Language, reference: Doc) -> Example:
        if self.gold_tokens:
            words = [token.text for token in reference]
            spaces = [bool(token.whitespace_) for token in reference]
            predicted = Doc(nlp.vocab, words=words, spaces=spaces)
            if self.gold_entities:
                predicted.set_ents(
                    [Span(predicted, ent.start, ent.end, label=ent.label) for ent in reference.ents]
                )
            return Example(predicted, reference)
        return Example(nlp.make_doc(reference.text), reference)


def _find_files(path: Path) -> list[Path]:
    """Return the .spacy files at or below a path, sorted; hidden ones are left out, as in spaCy."""
    if not path.exists():
        raise ValueError(
            f"{path}: no such file or folder. Check [paths] in the config, or convert the corpus first"
        )
    if not path.is_dir():
        return [path]
    paths = sorted(
        found
        for found in path.rglob(f"*{DOCBIN_SUFFIX}")
        if found.is_file()
        and not any(part.startswith(".") for part in found.relative_to(path).parts)
    )
    if not paths:
        raise ValueError(
            f"{path}: the folder holds no {DOCBIN_SUFFIX} file. Check the path, or convert the corpus first"
        )
    return paths


def _make_piece(sentence: Span, relations: list[Relation]) -> Doc:
    """Copy a sentence into a document of its own, with the relations that it holds."""
    piece = sentence.as_doc()
    doc, offset = sentence.doc, sentence.start
    if ORIG_ID in doc.user_data:
        piece.user_data[ORIG_ID] = doc.user_data[ORIG_ID]
    if has_relations(doc):

        def move(span: Span) -> Span:
            return Span(piece, span.start - offset, span.end - offset, label=span.label_)

        set_relations(
            piece,
            [(move(head), move(tail), label, score) for head, tail, label, score in relations],
        )
    return piece

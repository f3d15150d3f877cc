"""The texts that a component was trained on, and a warning when it is used on others."""

from collections.abc import Iterable
from typing import NamedTuple

from spacy.tokens import Doc

from ..sentences import count_apparent_sentences

# Share of the documents that decides between a corpus of single sentences and one of longer texts.
# Less than 2 % of the single sentences of CoNLL04 look like several.
LIMIT = 0.05


class TextCounts(NamedTuple):
    """Documents, counted by their sentences.

    documents (int): Number of documents.
    bounded (int): Documents with sentence boundaries.
    several (int): Documents without sentence boundaries that hold several sentences, judged by
        their punctuation.
    """

    documents: int = 0
    bounded: int = 0
    several: int = 0

    def add(self, docs: Iterable[Doc]) -> "TextCounts":
        """Return the counts with more documents.

        docs (Iterable[Doc]): The documents.
        RETURNS (TextCounts): The counts.
        """
        documents, bounded, several = self
        for doc in docs:
            documents += 1
            if doc.has_annotation("SENT_START"):
                bounded += 1
            elif count_apparent_sentences(doc) > 1:
                several += 1
        return TextCounts(documents, bounded, several)

    @property
    def mix_sentences(self) -> bool:
        """Whether many of the documents without boundaries hold several sentences."""
        return self.several > LIMIT * (self.documents - self.bounded)


def find_difference(trained: TextCounts, used: TextCounts) -> str | None:
    """Compare the texts that a component is used on with the texts that it was trained on.

    trained (TextCounts): The texts in training.
    used (TextCounts): The texts in prediction.
    RETURNS (str | None): The difference and how to remove it; None if there is no difference that
        makes the predictions worse, or if the component was not trained.
    """
    if not trained.documents:
        return None
    if used.mix_sentences and not trained.mix_sentences:
        return (
            "was trained on single sentences, or on texts with sentence boundaries, and is used on "
            "texts of several sentences without boundaries. There it relates entities of different "
            "sentences. Set the boundaries before this component, for example with "
            "nlp.add_pipe('sentencizer', first=True), or train it on joined sentences: see "
            '"Running text" in docs/predict.md'
        )
    if used.bounded > LIMIT * used.documents and trained.mix_sentences and not trained.bounded:
        return (
            "was trained on texts of several sentences without sentence boundaries, and is used on "
            "texts with boundaries. There it finds no relation between different sentences. Remove "
            'the component that sets the boundaries, or train with boundaries: see "Running '
            'text" in docs/predict.md'
        )
    return None

"""The spans of documents that the encoder encodes at a time."""

from collections.abc import Callable, Iterable
from functools import partial

from spacy.tokens import Doc, Span

from ..sentences import sentence_bounds

NAME = "spacy-tabcnn.sentence_spans.v1"


def build_sentence_spans(window: int, stride: int) -> Callable[[Iterable[Doc]], list[list[Span]]]:
    """Build a span getter. Registered as `spacy-tabcnn.sentence_spans.v1`.

    The encoder encodes each sentence by itself. So a sentence has the same embeddings in a
    paragraph as alone. A longer sentence, or a longer document without sentence
    boundaries, is cut into overlapping spans.

    window (int): Maximum number of words of a span.
    stride (int): Number of words from the start of a span to the start of the next, at most
        `window`. Smaller strides give words near a cut more context.
    RETURNS (Callable): Takes documents and returns the spans of each.
    RAISES (ValueError): If an argument is out of its range.
    """
    if not 1 <= stride <= window:
        raise ValueError(
            f"{NAME}: window is {window} and stride is {stride}; expected 1 <= stride <= window"
        )

    # It can be pickled, for the processes of `nlp.pipe`.
    return partial(_get_spans, window=window, stride=stride)


def _get_spans(docs: Iterable[Doc], *, window: int, stride: int) -> list[list[Span]]:
    spans = []
    for doc in docs:
        spans.append(_cut(doc, window, stride))
    return spans


def _cut(doc: Doc, window: int, stride: int) -> list[Span]:
    spans = []
    for start, end in sentence_bounds(doc):
        last = max(end - window, start)
        # The spans that begin before the last one; the last one ends with the sentence.
        for first in range(start, last, stride):
            spans.append(doc[first : first + window])
        spans.append(doc[last:end])
    return spans

"""Documents -> embeddings of their words and of their sentences."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

import numpy as np
from spacy.tokens import Doc
from thinc.api import Model, get_array_module, to_numpy
from thinc.types import ArrayXd, Floats2d, Ints1d, Ragged

from ..sentences import Bounds, Sentences
from .pooling import build_reduce_max
from .table_model import join_arrays, split_rows

if TYPE_CHECKING:
    from spacy_transformers.data_classes import TransformerData

SentenceEmbedding = Literal["cls", "max"]


class SentenceInput(NamedTuple):
    """Documents, and the cut of the documents into sentences."""

    docs: list[Doc]
    sentences: Sentences


class SentenceEmbeddings(NamedTuple):
    """Embeddings of a batch, or the loss's gradient with respect to them.

    words (Floats2d): Embeddings of the words (words, width), all sentences end to end.
    sentences (Floats2d): Embeddings of the sentences (sentences, width).
    """

    words: Floats2d
    sentences: Floats2d


def build_sentence_embeddings(
    tok2vec: Model[list[Doc], list[Floats2d]], sentence_embedding: SentenceEmbedding
) -> Model[SentenceInput, SentenceEmbeddings]:
    """Add an embedding of each sentence to the embeddings of words of a tok2vec.

    tok2vec (Model[list[Doc], list[Floats2d]]): Word embeddings, (words, width) a document.
    sentence_embedding (str): "cls": the embedding of [CLS] (the first sub-word of the tokenizer,
        whatever its name) in the sequence in which the encoder reads the first word of the
        sentence. This sequence is the sentence itself where a sentence is a document or with
        `spacy-transformers.sent_spans.v1`, else the window of the document. The tok2vec has to be a
        listener to a transformer, or the model that `nlp.replace_listeners` makes of a listener.
        "max": the maximum over the words of the sentence, for any tok2vec.
    RETURNS (Model[SentenceInput, SentenceEmbeddings]): The layer. It requires at least one
        document that is not empty.
    RAISES (ValueError): If sentence_embedding is neither of the two, or is "cls" where the tok2vec
        reads no transformer directly.
    """
    if sentence_embedding not in ("cls", "max"):
        raise ValueError(
            f"sentence_embedding is {sentence_embedding!r}; expected 'cls' (the embedding of "
            "[CLS]) or 'max' (the maximum over the words of the sentence)"
        )
    if sentence_embedding == "max":
        return Model("sentence_embeddings", forward_max, layers=[tok2vec])
    if not _reads_transformer(tok2vec):
        raise ValueError(
            f"sentence_embedding is 'cls', but the tok2vec, {tok2vec.name!r}, has no [CLS]. Use "
            "spacy-transformers.TransformerListener.v1 as the tok2vec, or set sentence_embedding "
            "to 'max'"
        )
    return Model("sentence_embeddings", forward_cls, layers=[tok2vec])


def forward_max(
    model: Model[SentenceInput, SentenceEmbeddings], inputs: SentenceInput, is_train: bool
) -> tuple[SentenceEmbeddings, Callable[[SentenceEmbeddings], list[Doc]]]:
    """Embed words, and sentences by the maximum over their words."""
    tok2vec = model.layers[0]
    arrays, backprop_tok2vec = tok2vec(inputs.docs, is_train)
    words = join_arrays(model, arrays)
    lengths = model.ops.asarray1i(inputs.sentences.lengths.tolist())
    maxima, backprop_maxima = build_reduce_max()(Ragged(words, lengths), is_train)

    def backprop(gradient: SentenceEmbeddings) -> list[Doc]:
        d_words = gradient.words + backprop_maxima(gradient.sentences).dataXd
        return backprop_tok2vec(split_rows(d_words, arrays))

    return SentenceEmbeddings(words, maxima), backprop


def forward_cls(
    model: Model[SentenceInput, SentenceEmbeddings], inputs: SentenceInput, is_train: bool
) -> tuple[SentenceEmbeddings, Callable[[SentenceEmbeddings], list[Doc]]]:
    """Embed words, and sentences by [CLS]."""
    encoder, pool = model.layers[0].layers
    outputs, backprop_encoder = encoder(inputs.docs, is_train)
    by_doc = inputs.sentences.by_doc
    with_cls = [*map(_add_cls, outputs, by_doc)]
    # Rows of a document: its words, then its sentences.
    arrays, backprop_pool = pool(with_cls, is_train)
    rows = join_arrays(model, arrays)
    is_sentence = _mark_sentences(inputs)
    of_words = model.ops.xp.asarray(np.flatnonzero(~is_sentence))
    of_sentences = model.ops.xp.asarray(np.flatnonzero(is_sentence))

    def backprop(gradient: SentenceEmbeddings) -> list[Doc]:
        d_rows = model.ops.alloc2f(*rows.shape)
        d_rows[of_words] = gradient.words
        d_rows[of_sentences] = gradient.sentences
        return backprop_encoder(backprop_pool(split_rows(d_rows, arrays)))

    return SentenceEmbeddings(rows[of_words], rows[of_sentences]), backprop


def _reads_transformer(tok2vec: Model) -> bool:
    return len(tok2vec.layers) == 2 and tok2vec.layers[1].name == "trfs2arrays"


def _mark_sentences(inputs: SentenceInput) -> np.ndarray:
    """Return whether each row is a sentence, where the sentences of a document follow its words."""
    counts: list[int] = []
    for doc, bounds in zip(inputs.docs, inputs.sentences.by_doc, strict=True):
        counts.extend([len(doc), len(bounds)])
    return np.repeat(np.tile([False, True], len(inputs.docs)), counts)


def _add_cls(output: TransformerData, sentences: list[Bounds]) -> TransformerData:
    """Append a word for each sentence to a document, aligned with nothing but [CLS]."""
    # Only here, where transformers is loaded in any case. It takes seconds.
    from spacy_transformers.data_classes import TransformerData

    from .encoded_batch import EncodedDoc

    if not sentences:
        return output
    align = output.align
    subwords, n_subwords = to_numpy(align.dataXd), to_numpy(align.lengths)
    sequence_length = output.model_output["last_hidden_state"].shape[1]
    first_words = [start for start, _ in sentences]
    # A word without sub-words begins where the next word does.
    begin = (np.cumsum(n_subwords) - n_subwords)[first_words]
    first_subwords = np.zeros_like(begin)
    if len(subwords):
        first_subwords = subwords[np.minimum(begin, len(subwords) - 1)]
    cls = first_subwords // sequence_length * sequence_length
    if isinstance(output, EncodedDoc):
        return output.add_words(cls)
    extended = Ragged(_append(align.dataXd, cls), _append(align.lengths, np.ones_like(cls)))
    return TransformerData(output.wordpieces, output.model_output, extended)


def _append(array: ArrayXd, values: np.ndarray) -> Ints1d:
    """Append to a numpy or cupy array, whose type stays."""
    joined = np.append(to_numpy(array), values).astype(array.dtype)
    return cast(Ints1d, get_array_module(array).asarray(joined))

"""Documents -> embeddings of their words and of their sentences."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from spacy.tokens import Doc
from thinc.api import Model, get_array_module, reduce_max, to_numpy
from thinc.types import Floats2d as ThincFloats2d
from thinc.types import Ragged

from ..arrays import Floats2d, Ints1d
from ..sentences import sentence_bounds, sentence_lengths

if TYPE_CHECKING:
    from spacy_transformers.data_classes import TransformerData


class SentenceEmbeddings(NamedTuple):
    """Embeddings of a batch, or the loss's gradient with respect to them: of its words (words, width), all sentences
    end to end, and of its sentences (sentences, width)."""

    words: Floats2d
    sentences: Floats2d


def build_sentence_embeddings(
    tok2vec: Model[list[Doc], list[ThincFloats2d]],
) -> Model[list[Doc], SentenceEmbeddings]:
    """Add an embedding of each sentence to a tok2vec's embeddings of words.

    tok2vec (Model[list[Doc], list[Floats2d]]): Word embeddings, (words, width) a document. If it is a listener of
        spacy-transformers, or what `nlp.replace_listeners` makes of one, the embedding of a sentence is that of [CLS]
        (whatever the encoder's tokenizer puts first) in the sequence that the encoder read its first word in: the
        sentence itself where a sentence is a document or with `spacy-transformers.sent_spans.v1`, else the window of
        the document. If it is anything else, also a listener inside of another layer, that is the maximum over the
        sentence's words.
    RETURNS (Model[list[Doc], SentenceEmbeddings]): The layer. It needs a document that is not empty.
    """
    return Model("sentence_embeddings", forward, layers=[tok2vec])


def forward(
    model: Model[list[Doc], SentenceEmbeddings], docs: list[Doc], is_train: bool
) -> tuple[SentenceEmbeddings, Callable[[SentenceEmbeddings], list[Doc]]]:
    tok2vec = model.layers[0]
    embed = _embed_with_cls if _reads_transformer(tok2vec) else _embed_with_maxima
    return embed(tok2vec, docs, is_train)


def _embed_with_maxima(
    tok2vec: Model[list[Doc], list[ThincFloats2d]], docs: list[Doc], is_train: bool
) -> tuple[SentenceEmbeddings, Callable[[SentenceEmbeddings], list[Doc]]]:
    arrays, backprop_tok2vec = tok2vec(docs, is_train)
    words = _join(tok2vec, arrays)
    lengths = tok2vec.ops.asarray1i(sentence_lengths(docs).tolist())
    maxima, backprop_maxima = reduce_max()(Ragged(words, lengths), is_train)

    def backprop(gradient: SentenceEmbeddings) -> list[Doc]:
        return backprop_tok2vec(
            _split(gradient.words + backprop_maxima(gradient.sentences).dataXd, arrays)
        )

    return SentenceEmbeddings(words, maxima), backprop


def _embed_with_cls(
    tok2vec: Model[list[Doc], list[ThincFloats2d]], docs: list[Doc], is_train: bool
) -> tuple[SentenceEmbeddings, Callable[[SentenceEmbeddings], list[Doc]]]:
    encoder, pool = tok2vec.layers
    outputs, backprop_encoder = encoder(docs, is_train)
    bounds = [sentence_bounds(doc) for doc in docs]
    with_cls = [
        _add_cls(output, [start for start, _ in sentences]) if sentences else output
        for output, sentences in zip(outputs, bounds, strict=True)
    ]
    arrays, backprop_pool = pool(with_cls, is_train)
    rows = _join(tok2vec, arrays)
    counts = np.array(
        [[len(doc), len(sentences)] for doc, sentences in zip(docs, bounds, strict=True)]
    )
    is_sentence = np.repeat(np.tile([False, True], len(docs)), counts.ravel())
    of_words, of_sentences = (
        tok2vec.ops.xp.asarray(np.flatnonzero(of)) for of in (~is_sentence, is_sentence)
    )

    def backprop(gradient: SentenceEmbeddings) -> list[Doc]:
        d_rows = tok2vec.ops.alloc2f(*rows.shape)
        d_rows[of_words] = gradient.words
        d_rows[of_sentences] = gradient.sentences
        return backprop_encoder(backprop_pool(_split(d_rows, arrays)))

    return SentenceEmbeddings(rows[of_words], rows[of_sentences]), backprop


def _reads_transformer(tok2vec: Model) -> bool:
    return len(tok2vec.layers) == 2 and tok2vec.layers[1].name == "trfs2arrays"


def _add_cls(output: TransformerData, first_words: list[int]) -> TransformerData:
    """Append a word for each sentence to a document, aligned with nothing but [CLS]."""
    align = output.align
    subwords, n_subwords = to_numpy(align.dataXd), to_numpy(align.lengths)
    sequence_length = cast(Any, output.model_output).last_hidden_state.shape[1]
    # A word without sub-words begins where the next one does.
    begin = (np.cumsum(n_subwords) - n_subwords)[first_words]
    first_subwords = (
        subwords[np.minimum(begin, len(subwords) - 1)] if len(subwords) else np.zeros_like(begin)
    )
    cls = first_subwords // sequence_length * sequence_length
    extended = Ragged(_append(align.dataXd, cls), _append(align.lengths, np.ones_like(cls)))
    return dataclasses.replace(output, align=extended)


def _append(array: Any, values: Ints1d) -> Any:
    """Append to a numpy or cupy array, whose type stays."""
    return get_array_module(array).asarray(np.append(to_numpy(array), values).astype(array.dtype))


def _join(model: Model, arrays: list[ThincFloats2d]) -> Floats2d:
    # Embeddings of an empty document can be zero wide.
    return model.ops.xp.concatenate([array for array in arrays if len(array)])


def _split(rows: Floats2d, arrays: list[ThincFloats2d]) -> list[ThincFloats2d]:
    """Divide the gradient of joined arrays."""
    ends = np.cumsum([len(array) for array in arrays])
    return [
        rows[end - len(array) : end] if len(array) else array
        for array, end in zip(arrays, ends.tolist(), strict=True)
    ]

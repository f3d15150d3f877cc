"""Documents -> logits of their tables."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from spacy.tokens import Doc
from spacy.vocab import Vocab
from thinc.api import Model
from thinc.types import Floats2d

from ..arrays import Ints1d
from ..sentences import DEFAULT_MAX_LENGTH, Windows, sentence_lengths
from ..table.logits import TableLogits
from .table_heads import HeadInput


class TaggedDocs(NamedTuple):
    """Documents whose tags are known: the gold ones to learn from, or those of given entities.

    docs (list[Doc]): The documents.
    tags (Ints1d): Known tag of each of their words, int64 (words,), negative where it is missing.
    """

    docs: list[Doc]
    tags: Ints1d


def build_table_model(
    tok2vec: Model[list[Doc], list[Floats2d]], head: Model[HeadInput, TableLogits]
) -> Model[list[Doc] | TaggedDocs, TableLogits]:
    """Join word embeddings and a table head. Registered as `spacy-tabcnn.TableModel.v1`.

    tok2vec (Model[list[Doc], list[Floats2d]]): Word embeddings e_i (paper, equation 1), (words, width) a document.
    head (Model[HeadInput, TableLogits]): Scores the tables of a batch.
    RETURNS (Model[list[Doc] | TaggedDocs, TableLogits]): Scores the tables of a batch of documents, those of the
        `Windows` of their sentences, cut at its attribute `max_length`. Train it with `TaggedDocs`: a head whose scores
        depend on tags has to be told the right ones. To initialise it, pass documents as X and logits of the wanted
        numbers of labels as Y. Empty documents are fine, but for one case: training on them where a transformer's
        output is concatenated with other features.
    """
    return Model(
        "table_model",
        forward,
        init=init,
        layers=[tok2vec, head],
        attrs={"max_length": DEFAULT_MAX_LENGTH},
        refs={"tok2vec": tok2vec, "head": head},
    )


def forward(
    model: Model[list[Doc] | TaggedDocs, TableLogits],
    inputs: list[Doc] | TaggedDocs,
    is_train: bool,
) -> tuple[TableLogits, Callable[[TableLogits], list[Doc]]]:
    docs, known_tags = inputs if isinstance(inputs, TaggedDocs) else (inputs, None)
    tok2vec, head = model.get_ref("tok2vec"), model.get_ref("head")
    if not is_train:
        # Embeddings of an empty document can be zero wide, which layers that concatenate refuse. In training an
        # upstream component has already counted all documents.
        docs = [doc for doc in docs if len(doc)]
    embeddings, backprop_tok2vec = tok2vec(docs, is_train)
    words = model.ops.xp.concatenate([array for array in embeddings if len(array)])
    windows = Windows(sentence_lengths(docs), model.attrs["max_length"])
    rows = windows.words()
    word_of_row = model.ops.xp.asarray(
        rows, dtype="int32"
    )  # a word has several where windows overlap
    tag_of_row = None if known_tags is None else known_tags[rows]
    logits, backprop_head = head(
        HeadInput(words[word_of_row], windows.lengths, tag_of_row), is_train
    )

    def backprop(d_logits: TableLogits) -> list[Doc]:
        d_words = model.ops.alloc2f(*words.shape)
        model.ops.scatter_add(d_words, word_of_row, backprop_head(d_logits).words)
        ends = np.cumsum([len(array) for array in embeddings])
        d_embeddings = [
            d_words[end - len(array) : end] if len(array) else array
            for array, end in zip(embeddings, ends.tolist(), strict=True)
        ]
        return backprop_tok2vec(d_embeddings)

    return logits, backprop


def init(
    model: Model[list[Doc] | TaggedDocs, TableLogits],
    X: list[Doc] | None = None,
    Y: TableLogits | None = None,
) -> None:
    tok2vec, head = model.get_ref("tok2vec"), model.get_ref("head")
    docs = [doc for doc in X or [] if len(doc)] or [Doc(Vocab(), words=["word"])]
    tok2vec.initialize(X=docs)
    if not head.has_dim("nI"):
        head.set_dim("nI", tok2vec.predict(docs)[0].shape[1])
    head.initialize(Y=Y)

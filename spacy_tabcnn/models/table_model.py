"""Documents -> logits of their tables."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from spacy.tokens import Doc
from spacy.vocab import Vocab
from thinc.api import Model
from thinc.types import Floats2d

from ..arrays import Ints1d
from ..runtime.head_shim import HeadShim
from ..sentences import Windows
from ..table.logits import TableLogits
from .features import work_at_once
from .table_heads import HeadInput, check_table
from .torch_twin import make_twins

LogitsT = TypeVar("LogitsT")


class TableInput(NamedTuple):
    """A batch of documents with its cut into tables.

    docs (list[Doc]): The documents.
    windows (Windows): The cut of the documents.
    known_tags (Ints1d | None): Known tag of each word of the batch, int64 (words,), negative where
        it is missing. In training the gold tags, in prediction the tags of given entities, else
        None.
    """

    docs: list[Doc]
    windows: Windows
    known_tags: Ints1d | None = None


def build_table_model(
    tok2vec: Model[list[Doc], list[Floats2d]], head: Model[HeadInput, TableLogits]
) -> Model[TableInput, TableLogits]:
    """Join word embeddings and a table head. Registered as `spacy-tabcnn.TableModel.v1`.

    tok2vec (Model[list[Doc], list[Floats2d]]): Word embeddings e_i (paper, equation 1),
        (words, width) a document.
    head (Model[HeadInput, TableLogits]): Scores the tables of a batch.
    RETURNS (Model[TableInput, TableLogits]): Scores the tables of a batch of documents. To
        initialise it, pass documents as X and logits of the wanted numbers of labels as Y. Empty
        documents may be among the documents, except for training where a transformer's output is
        concatenated with other features.
    RAISES (ValueError): If the head is not a table head.
    """
    check_table("spacy-tabcnn.TableModel.v1", head)
    return join_layers("table_model", tok2vec, head)


def join_layers(
    name: str,
    tok2vec: Model[list[Doc], list[Floats2d]],
    head: Model[HeadInput, LogitsT],
) -> Model[TableInput, LogitsT]:
    """Join word embeddings and a head that scores tables; see `build_table_model`.

    name (str): Name of the model.
    tok2vec (Model[list[Doc], list[Floats2d]]): Word embeddings, (words, width) a document.
    head (Model[HeadInput, LogitsT]): Scores the tables of a batch. The gradient that it returns has
        the gradient of the words.
    RETURNS (Model[TableInput, LogitsT]): Scores the tables of a batch of documents.
    """
    work_at_once(tok2vec)
    make_twins(tok2vec)
    return Model(
        name,
        forward,
        init=init,
        layers=[tok2vec, head],
        refs={"tok2vec": tok2vec, "head": head},
    )


def find_heads(model: Model) -> list[Model]:
    """Return the layers of a model that have a torch module of this library.

    model (Model): The model of a component.
    RETURNS (list[Model]): The heads: one, or several in an ensemble or where heads are joined.
        Their dimensions are known once they are initialised. The labels decide on the size of each,
        but not of an LSTM.
    """
    return [node for node in model.walk() if any(isinstance(it, HeadShim) for it in node.shims)]


def forward(
    model: Model[TableInput, LogitsT], inputs: TableInput, is_train: bool
) -> tuple[LogitsT, Callable[[LogitsT], list[Doc]]]:
    """Embed the words of a batch and score its tables."""
    docs, windows, known_tags = inputs
    tok2vec, head = model.layers
    if not is_train:
        # Embeddings of an empty document can be zero wide, which layers that concatenate refuse.
        # In training an upstream component has already counted all documents.
        docs = [doc for doc in docs if len(doc)]
    embeddings, backprop_tok2vec = tok2vec(docs, is_train)
    words = join_arrays(model, embeddings)  # (words, width)
    if not windows.overlap:
        logits, backprop_head = head(HeadInput(words, windows, known_tags), is_train)

        def backprop(d_logits: LogitsT) -> list[Doc]:
            return backprop_tok2vec(split_rows(backprop_head(d_logits).words, embeddings))

        return logits, backprop

    # A word has a row in each of its windows.
    word_of_row = windows.words()
    rows = model.ops.xp.asarray(word_of_row, dtype="int32")
    tags = None if known_tags is None else known_tags[word_of_row]
    logits, backprop_head = head(HeadInput(words[rows], windows, tags), is_train)

    def backprop_windows(d_logits: LogitsT) -> list[Doc]:
        d_words = model.ops.alloc2f(*words.shape)
        model.ops.scatter_add(d_words, rows, backprop_head(d_logits).words)
        return backprop_tok2vec(split_rows(d_words, embeddings))

    return logits, backprop_windows


def init(
    model: Model[TableInput, LogitsT],
    X: list[Doc] | None = None,
    Y: LogitsT | None = None,
) -> None:
    """Initialise the layers, and tell the head the width of the word embeddings."""
    tok2vec, head = model.get_ref("tok2vec"), model.get_ref("head")
    docs = [doc for doc in X or [] if len(doc)] or [Doc(Vocab(), words=["word"])]
    tok2vec.initialize(X=docs)
    if not head.has_dim("nI"):
        head.set_dim("nI", tok2vec.predict(docs)[0].shape[1])
    head.initialize(Y=Y)


def join_arrays(model: Model, arrays: list[Floats2d]) -> Floats2d:
    """Join the embeddings of documents.

    model (Model): Any model on their device.
    arrays (list[Floats2d]): (words, width) a document. An empty document may have another width.
    RETURNS (Floats2d): (words of the batch, width).
    """
    if len(arrays) == 1:
        return arrays[0]
    return model.ops.xp.concatenate([array for array in arrays if len(array)])


def split_rows(rows: Floats2d, arrays: list[Floats2d]) -> list[Floats2d]:
    """Divide the gradient of joined arrays; the inverse of `join_arrays`.

    rows (Floats2d): (words of the batch, width).
    arrays (list[Floats2d]): The arrays that were joined.
    RETURNS (list[Floats2d]): An array of the size of each; empty arrays come back as they are.
    """
    parts: list[Floats2d] = []
    start = 0
    for array in arrays:
        end = start + len(array)
        parts.append(rows[start:end] if len(array) else array)
        start = end
    return parts

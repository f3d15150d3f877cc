"""A table head and a classifier of pairs of entities: two opinions on each relation, averaged."""

import functools
from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from thinc.api import ArgsKwargs, Model, torch2xp, xp2torch
from thinc.types import Floats2d
from thinc.util import get_array_module

from ..arrays import average_logits
from ..heads import PairClassifier
from ..labels import count_entity_types, count_relation_types
from ..runtime.head_shim import pass_on_dropout, wrap_module
from ..table.logits import PairLogits, TableLogits
from ..table.pairs import EntityPairs, decode_tags, pair_entities
from .table_heads import HeadInput, check_table
from .table_heads import init as init_classifier

NAME = "spacy-tabcnn.TablePairs.v1"
MODEL_NAME = "table_pairs"


class PairInput(NamedTuple):
    """Word embeddings of a batch of tables, (rows, width), and the pairs of entities to score."""

    words: Floats2d
    pairs: EntityPairs


def build_table_pairs(
    table: Model[HeadInput, TableLogits],
    *,
    units: int = 256,
    dropout: float | None = None,
) -> Model[HeadInput, TableLogits]:
    """Join a table head with a classifier of pairs of entities.

    Registered as `spacy-tabcnn.TablePairs.v1`.

    The table's cells are labelled without knowing which words make an entity. The classifier reads
    the words of both entities, their types, the words between them and their distance. It learns
    from the gold entities, and the word embeddings do not learn from it. In prediction it scores
    the pairs of the entities that the tags make, and the cells of a pair get the mean of its
    probabilities and the table's.

    table (Model[HeadInput, TableLogits]): The table head, such as `spacy-tabcnn.TableCNN.v1`.
    units (int): Width of the classifier's hidden layers.
    dropout (float | None): Dropout of the classifier's word embeddings and hidden layers. By
        default the dropout of the `[training]` block.
    RETURNS (Model[HeadInput, TableLogits]): The head. In training, its logits include the logits of
        the pairs.
    RAISES (ValueError): If the table is not a table head, or has a classifier of pairs already.
    """
    check_table(NAME, table)
    if any(node.name == MODEL_NAME for node in table.walk()):
        raise ValueError(
            f"{NAME}: its table has a {NAME} already, which would learn from the wrong gradient. "
            "Leave one of them out"
        )
    classifier: Model[PairInput, Floats2d] = wrap_module(
        "pair_classifier",
        forward_classifier,
        init_classifier,
        functools.partial(make_classifier, units=units, dropout=dropout or 0.0),
        dims=("n_tags", "n_relations"),
        dropout=dropout,
        mixed_precision=False,
    )
    return Model(MODEL_NAME, forward, init=init, dims={"nI": None}, layers=[table, classifier])


def make_classifier(
    *, width: int, n_tags: int, n_relations: int, units: int, dropout: float
) -> PairClassifier:
    """Make the module of `build_table_pairs`. It is a function of the Python module, so that a head
    can be pickled.

    width (int): Width of a word embedding.
    n_tags (int): Number of tags.
    n_relations (int): Number of directed relation labels, "none" included.
    units (int): See `build_table_pairs`, as for the argument that follows.
    dropout (float): Dropout of word embeddings and hidden layers.
    RETURNS (PairClassifier): The module.
    """
    n_types, n_relation_types = count_entity_types(n_tags), count_relation_types(n_relations)
    return PairClassifier(width, n_types, n_relation_types, units=units, dropout=dropout)


def forward(
    model: Model[HeadInput, TableLogits], inputs: HeadInput, is_train: bool
) -> tuple[TableLogits, Callable[[TableLogits], HeadInput]]:
    """Score tables, and the pairs of the known entities in training, else of the decoded entities.

    RAISES (ValueError): In training without known tags.
    """
    table, classifier = model.layers
    words, windows, known_tags = inputs
    logits, backprop_table = table(inputs, is_train)
    if not is_train:
        pairs = pair_entities(decode_tags(logits.tags, windows, known_tags), windows)
        scores = classifier.predict(PairInput(words, pairs))
        return average_cells(logits, pairs, scores), backprop_table
    if known_tags is None:
        raise ValueError(f"{NAME}: cannot train without the known tags in the HeadInput")
    pairs = pair_entities(known_tags, windows)
    scores, backprop_classifier = classifier(PairInput(words, pairs), is_train)

    def backprop(d_logits: TableLogits) -> HeadInput:
        if d_logits.pairs is not None:
            backprop_classifier(d_logits.pairs.relations)
        return backprop_table(d_logits)

    return logits._replace(pairs=PairLogits(pairs.first_cells(), scores)), backprop


def average_cells(logits: TableLogits, pairs: EntityPairs, scores: Floats2d) -> TableLogits:
    """Average the probabilities of each pair with the probabilities of its cells.

    logits (TableLogits): The logits of the table.
    pairs (EntityPairs): The pairs.
    scores (Floats2d): Logits of the pairs, (pairs, relation labels), numpy or cupy.
    RETURNS (TableLogits): The logits, with log-probabilities in the cells of pairs.
    """
    xp = get_array_module(scores)
    cells, pair_of_cell = xp.asarray(pairs.cells), xp.asarray(pairs.pair_of_cell)
    if not len(cells):
        return logits
    relations = xp.array(logits.relations)
    relations[cells] = average_logits([relations[cells], scores[pair_of_cell]])
    return logits._replace(relations=relations)


def init(
    model: Model[HeadInput, TableLogits],
    X: HeadInput | None = None,
    Y: TableLogits | None = None,
) -> None:
    """Build both modules; Y has as many columns as there are labels."""
    for layer in model.layers:
        if not layer.has_dim("nI"):
            layer.set_dim("nI", model.get_dim("nI"))
        layer.initialize(Y=Y)


def forward_classifier(
    model: Model[PairInput, Floats2d], inputs: PairInput, is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], PairInput]]:
    """Run the torch module of the classifier. The words get no gradient."""
    if is_train:
        pass_on_dropout(model)
    entities, pairs = torch.from_numpy(inputs.pairs.entities), torch.from_numpy(inputs.pairs.pairs)
    arguments = ArgsKwargs(args=(xp2torch(inputs.words), entities, pairs), kwargs={})
    scores, backprop_torch = model.shims[0](arguments, is_train)

    def backprop(d_scores: Floats2d) -> PairInput:
        gradients = [xp2torch(d_scores)]
        backprop_torch(ArgsKwargs(args=([scores],), kwargs={"grad_tensors": gradients}))
        return inputs

    return cast(Floats2d, torch2xp(scores, ops=model.ops)), backprop

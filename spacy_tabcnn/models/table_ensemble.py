"""Several table models as one: the average of their tables."""

from collections.abc import Callable
from typing import NoReturn

from spacy.tokens import Doc
from thinc.api import Model

from ..arrays import average_logits
from ..table.logits import TableLogits
from .table_model import TableInput

NAME = "spacy-tabcnn.TableEnsemble.v1"


def build_table_ensemble(
    *members: Model[TableInput, TableLogits],
) -> Model[TableInput, TableLogits]:
    """Build the average of table models. Registered as `spacy-tabcnn.TableEnsemble.v1`.

    It predicts only. Its members are trained one by one, and `spacy tabcnn ensemble` joins them.

    members (Model[TableInput, TableLogits]): The models, of the same labels. Each has word
        embeddings of its own, which may listen to the same encoder.
    RETURNS (Model[TableInput, TableLogits]): Scores the tables of a batch of documents. The softmax
        of its logits is the mean of the members' probabilities, for each word and each cell.
    RAISES (ValueError): If there are no members.
    """
    if not members:
        raise ValueError(
            f"{NAME} has no members. Name them in config.cfg, each in a section "
            "[components.relation_table.model.*.NAME]"
        )
    return Model("table_ensemble", forward, init=init, layers=members)


def forward(
    model: Model[TableInput, TableLogits], inputs: TableInput, is_train: bool
) -> tuple[TableLogits, Callable[[TableLogits], list[Doc]]]:
    """Score the tables of a batch by each member, and average the probabilities.

    RAISES (ValueError): In training.
    """
    if is_train:
        raise ValueError(
            f"{NAME} predicts only: train its members one by one, and join them by `spacy tabcnn "
            "ensemble`"
        )
    tags, relations = [], []
    for member in model.layers:
        logits = member.predict(inputs)
        tags.append(logits.tags)
        relations.append(logits.relations)
    return TableLogits(average_logits(tags), average_logits(relations), inputs.windows), _refuse


def init(
    model: Model[TableInput, TableLogits],
    X: list[Doc] | None = None,
    Y: TableLogits | None = None,
) -> None:
    """Initialise each member with the same sample."""
    for member in model.layers:
        member.initialize(X=X, Y=Y)


def _refuse(_: TableLogits) -> NoReturn:
    raise ValueError(f"{NAME} predicts only, so it has no gradient")

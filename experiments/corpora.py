"""The conventions of the paper's corpora: which average they report, over seeds or folds."""

from typing import Literal, NamedTuple


class CorpusConvention(NamedTuple):
    """How the paper scores a corpus.

    name (str): Name of the corpus.
    average (str): The average over the types of entities or relations: "micro" or "macro".
    repeat (str): The difference between the runs of a system: "seed", or "fold" of a
        cross-validation.
    has_layer_tables (bool): Whether tables 2 and 3, the scores by encoder layer, are of this
        corpus.
    """

    name: str
    average: Literal["micro", "macro"] = "micro"
    repeat: Literal["seed", "fold"] = "seed"
    has_layer_tables: bool = False

    @property
    def score_suffix(self) -> str:
        """End of the names of the F1 scores, see `score_relations`."""
        return {"micro": "f", "macro": "macro_f"}[self.average]


# In the order of the paper's tables. In ADE, RE equals RE+: the types of two entities follow from
# the one relation type that joins them.
_CONVENTIONS = (
    CorpusConvention("CoNLL04", has_layer_tables=True),
    CorpusConvention("ACE05"),
    CorpusConvention("ADE", average="macro", repeat="fold"),
)


def get_convention(corpus: str) -> CorpusConvention:
    """Return the conventions of a corpus.

    corpus (str): Name of the corpus.
    RETURNS (CorpusConvention): Its conventions: micro averages over seeds if the paper does not use
        the corpus.
    """
    for convention in _CONVENTIONS:
        if convention.name == corpus:
            return convention
    return CorpusConvention(corpus)

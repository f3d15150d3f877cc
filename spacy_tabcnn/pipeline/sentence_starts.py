"""The trainable component `sentence_starts`: spaCy's `senter`, trained on joined documents."""

import random
from collections.abc import Callable, Iterable
from typing import cast

from spacy.language import Language
from spacy.pipeline.senter import SentenceRecognizer
from spacy.tokens import Doc
from spacy.training import Example, validate_examples
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer
from thinc.types import Floats2d

from ..groups import group_items
from ..runtime.optimizer import for_head
from ..sentences import sentence_bounds

# Larger than the default of spaCy's `senter`, which finds 12 % fewer boundaries in joined sentences
# of CoNLL04. Its time is small next to the time of a small encoder.
DEFAULT_SENTENCE_MODEL = {
    "@architectures": "spacy.Tagger.v2",
    "tok2vec": {
        "@architectures": "spacy.HashEmbedCNN.v2",
        "pretrained_vectors": None,
        "width": 64,
        "depth": 2,
        "embed_size": 2000,
        "window_size": 1,
        "maxout_pieces": 3,
        "subword_features": True,
    },
}


def make_sentence_starts(
    nlp: Language,
    name: str,
    model: Model[list[Doc], list[Floats2d]],
    overwrite: bool,
    joined: float,
    max_joined: int,
    seed: int,
    scorer: Callable | None,
) -> "SentenceStarts":
    """Make a component that sets sentence boundaries.

    A config names it by `factory = "sentence_starts"` in `[components.NAME]`.

    model (Model[list[Doc], list[Floats2d]]): Scores each word: it goes on with a sentence, or it
        starts one. It must not listen to another component unless `joined` is 0.
    overwrite (bool): Whether to replace boundaries that are set.
    joined (float): Share of the documents of a batch to join for training, between 0 and 1. In the
        joined text each document begins a sentence.
    max_joined (int): Maximum number of documents to join.
    seed (int): Determines the joined documents.
    scorer (Callable | None): The scoring method.
    """
    return SentenceStarts(
        nlp.vocab,
        model,
        name,
        overwrite=overwrite,
        joined=joined,
        max_joined=max_joined,
        seed=seed,
        scorer=scorer,
    )


Language.factory(
    "sentence_starts",
    func=make_sentence_starts,
    assigns=["token.is_sent_start"],
    default_config={
        "model": DEFAULT_SENTENCE_MODEL,
        "overwrite": False,
        "joined": 0.8,
        "max_joined": 5,
        "seed": 0,
        "scorer": {"@scorers": "spacy.senter_scorer.v1"},
    },
    default_score_weights={"sents_f": 0.0, "sents_p": 0.0, "sents_r": 0.0},
)


class SentenceStarts(SentenceRecognizer):
    """Sets sentence boundaries, before the encoder and the relation component.

    It is spaCy's `senter` but for two points. It trains on the examples of a batch joined to texts,
    so that it learns boundaries also from a corpus of single sentences. The other components of the
    pipeline train on the examples as they are. And it trains at the `head_learn_rate` of this
    package's optimiser, since its weights start at random.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[list[Doc], list[Floats2d]],
        name: str = "senter",
        *,
        overwrite: bool = False,
        joined: float = 0.8,
        max_joined: int = 5,
        seed: int = 0,
        scorer: Callable | None = None,
    ):
        """Initialise a component; see `make_sentence_starts`.

        RAISES (ValueError): If an option is out of its range.
        """
        if not 0.0 <= joined <= 1.0:
            raise ValueError(
                f"Component '{name}': joined is {joined}; expected a share between 0 and 1"
            )
        if max_joined < 2:
            raise ValueError(f"Component '{name}': max_joined is {max_joined}; expected at least 2")
        if joined and any("listener" in node.name for node in model.walk()):
            raise ValueError(
                f"Component '{name}': its model listens to another component, which does not see "
                "the joined documents. Set joined = 0.0, or give it a tok2vec of its own"
            )
        super().__init__(vocab, model, name, overwrite=overwrite, scorer=scorer)
        self.joined = joined
        self.max_joined = max_joined
        self._rng = random.Random(seed)

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch of examples, most of them joined to texts.

        examples (Iterable[Example]): The examples. A reference without sentence boundaries is one
            sentence.
        drop (float): The dropout rate.
        sgd (Optimizer | None): The optimiser, if the model is to be updated at once.
        losses (dict[str, float] | None): Losses by component name, to add to.
        RETURNS (dict[str, float]): The losses.
        """
        batch = list(examples)
        validate_examples(batch, f"{type(self).__name__}.update")
        updated: dict[str, float] = super().update(
            self._join(batch), drop=drop, sgd=sgd, losses=losses
        )
        return updated

    def finish_update(self, sgd: Optimizer) -> None:
        """Update the parameters with the gradients of the last `update`.

        sgd (Optimizer): The optimiser. An `AdamW` of this package applies its `head_learn_rate`.
        """
        self.model.finish_update(for_head(sgd))

    def get_training_state(self) -> list[object]:
        """Return the state of the draws of joined documents, for a checkpoint of a training.

        RETURNS (list): The state of the generator of random numbers, as plain data.
        """
        version, numbers, gauss = self._rng.getstate()
        return [version, list(numbers), gauss]

    def set_training_state(self, state: list[object]) -> None:
        """Go on with the draws of joined documents.

        state (list): The output of `get_training_state`.
        """
        version, numbers, gauss = state
        self._rng.setstate((version, tuple(cast(list[int], numbers)), gauss))

    def _join(self, examples: list[Example]) -> list[Example]:
        if not self.joined:
            return examples
        groups = group_items(
            examples, self._rng, joined=self.joined, min_size=2, max_size=self.max_joined
        )
        return list(map(_join_examples, groups))


def _join_examples(examples: list[Example]) -> Example:
    """Return an example with the words of several, and with their sentence boundaries."""
    predicted = [eg.predicted for eg in examples]
    references = [eg.reference for eg in examples]
    return Example(_join_words(predicted), _join_words(references))


def _join_words(docs: list[Doc]) -> Doc:
    words: list[str] = []
    spaces: list[bool] = []
    starts: list[bool | int | None] = []
    for doc in docs:
        first = len(words)
        words.extend(token.text for token in doc)
        spaces.extend(bool(token.whitespace_) for token in doc)
        starts.extend([False] * len(doc))
        for start, _ in sentence_bounds(doc):
            starts[first + start] = True
        if len(doc):
            spaces[-1] = True
    return Doc(docs[0].vocab, words=words, spaces=spaces, sent_starts=starts)

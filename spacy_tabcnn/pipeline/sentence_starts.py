"""The trainable component `sentence_starts`: spaCy's `senter`, trained on joined documents."""

import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import numpy as np
from spacy.language import Language
from spacy.pipeline.senter import SentenceRecognizer
from spacy.tokens import Doc
from spacy.training import Example, validate_examples
from spacy.util import from_bytes
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer, set_dropout_rate, to_numpy
from thinc.types import Floats2d

from ..arrays import Ints1d, Scalar
from ..groups import group_items
from ..heads.checks import check_dropout
from ..labels import MISSING
from ..models.features import work_at_once
from ..models.table_model import split_rows
from ..models.torch_twin import finish_update, make_twins
from ..runtime.optimizer import for_head
from ..runtime.saved_layers import load_layers
from ..runtime.transfers import start_read
from ..sentences import sentence_bounds
from .divergence import check_loss
from .saved import read_parts, read_settings

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
        work_at_once(model)
        make_twins(model)
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
        drop (float): The dropout rate, from 0 up to, but not including, 1.
        sgd (Optimizer | None): The optimiser, if the model is to be updated at once.
        losses (dict[str, float] | None): Losses by component name, to add to.
        RETURNS (dict[str, float]): The losses.
        RAISES (ValueError): If the dropout rate is another number.
        RAISES (DivergenceError): If the loss is not finite.
        """
        check_dropout(f"Component '{self.name}'", drop)
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        batch = list(examples)
        validate_examples(batch, f"{type(self).__name__}.update")
        joined = self._join(batch)
        docs = [eg.predicted for eg in joined]
        if not any(map(len, docs)):
            return losses
        set_dropout_rate(self.model, drop)
        # The loss and, in the optimiser, the gradient show an overflow.
        with np.errstate(over="ignore", invalid="ignore"):
            scores, backprop = self.model.begin_update(docs)
            loss, d_scores = self._compute_loss(joined, scores)
            read_loss = start_read(loss)
            backprop(d_scores)
        value = read_loss()
        check_loss(self.name, value, sum(map(len, docs)))
        losses[self.name] += value
        if sgd not in (None, False):
            self.finish_update(sgd)
        return losses

    def get_loss(
        self, examples: Iterable[Example], scores: list[Floats2d]
    ) -> tuple[float, list[Floats2d]]:
        """Compute the loss of scored documents and its gradient.

        examples (Iterable[Example]): The examples. A word without an annotation has no loss.
        scores (list[Floats2d]): The probabilities of their words, (words, 2) a document.
        RETURNS (tuple[float, list[Floats2d]]): The loss, and its gradient with respect to the
            scores.
        """
        batch = list(examples)
        validate_examples(batch, f"{type(self).__name__}.get_loss")
        loss, d_scores = self._compute_loss(batch, scores)
        return float(loss), d_scores

    def finish_update(self, sgd: Optimizer) -> None:
        """Update the parameters with the gradients of the last `update`.

        sgd (Optimizer): The optimiser. An `AdamW` of this package applies its `head_learn_rate`.
        """
        finish_update(self.model, for_head(sgd))

    def _compute_loss(
        self, examples: list[Example], scores: list[Floats2d]
    ) -> tuple[Scalar, list[Floats2d]]:
        # As spaCy computes it document by document, for which the host waits for a GPU each time.
        ops: Any = self.model.ops
        labels = np.concatenate([*map(_label_words, examples)])[:, None]
        gold = np.stack([labels == np.arange(2), np.repeat(labels != MISSING, 2, axis=1)])
        gold_probs, is_known = ops.asarray(gold.astype("float32"))
        d_probs = (ops.xp.concatenate(scores) - gold_probs) * is_known
        return (d_probs**2).sum(), split_rows(d_probs, scores)

    def _scores2guesses(self, scores: list[Floats2d]) -> list[Ints1d]:
        """Return whether each word starts a sentence. spaCy's `predict` calls this method."""
        starts = to_numpy(self.model.ops.xp.concatenate(scores).argmax(axis=1))
        guesses = []
        first = 0
        for array in scores:
            guesses.append(starts[first : first + len(array)])
            first += len(array)
        return guesses

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

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "SentenceStarts":
        """Load the weights.

        bytes_data (bytes): The output of `to_bytes`, which is not trusted.
        exclude (Iterable[str]): Names of parts to leave out.
        RETURNS (SentenceStarts): The component.
        RAISES (ValueError): If a part is refused; see `from_disk`.
        """
        parts = {
            "cfg": self._load_settings,
            "vocab": lambda data: self.vocab.from_bytes(data, exclude=exclude),
            "model": self._load_model,
        }
        try:
            from_bytes(bytes_data, parts, exclude)
        except ValueError as err:
            raise ValueError(f"Component '{self.name}' cannot be loaded: {err}") from err
        return self

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "SentenceStarts":
        """Load the weights.

        The files are not trusted: nothing in them is run or used as a path.

        path (str | Path): The folder that `to_disk` wrote.
        exclude (Iterable[str]): Names of parts to leave out.
        RETURNS (SentenceStarts): The component.
        RAISES (ValueError): If a file is damaged, or if its weights are not finite or do not fit
            the config. The message names the file.
        """
        if "vocab" not in set(exclude):
            self.vocab.from_disk(Path(path) / "vocab", exclude=exclude)
        read_parts(path, {"cfg": self._load_settings, "model": self._load_model}, exclude)
        return self

    def _load_settings(self, content: bytes) -> None:
        # The saved settings repeat the config. They would override an edited config.cfg and
        # spacy.load(..., config=...).
        read_settings(content)

    def _load_model(self, content: bytes) -> None:
        load_layers(self.model, content)
        if self.model.has_dim("nO") and self.model.get_dim("nO") != len(self.labels):
            raise ValueError(
                f"its weights score {self.model.get_dim('nO')} labels; expected {len(self.labels)}"
            )

    def _join(self, examples: list[Example]) -> list[Example]:
        if not self.joined:
            return examples
        groups = group_items(
            examples, self._rng, joined=self.joined, min_size=2, max_size=self.max_joined
        )
        return list(map(_join_examples, groups))


def _label_words(eg: Example) -> Ints1d:
    """Return the gold label of each predicted word: 1 for the start of a sentence, else 0."""
    words, gold_words = eg.predicted.to_array("ORTH"), eg.reference.to_array("ORTH")
    if np.array_equal(words, gold_words) and eg.predicted.text == eg.reference.text:
        return (eg.reference.to_array("SENT_START") == 1).astype(np.int64)
    labels = []
    for start in eg.get_aligned("SENT_START"):
        if start is None:
            labels.append(MISSING)
        else:
            labels.append(int(start == 1))
    return np.array(labels, dtype=np.int64)


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

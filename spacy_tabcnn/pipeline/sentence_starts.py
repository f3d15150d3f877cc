"""The trainable component `sentence_starts`: spaCy's `senter`, trained at the rate of the heads."""

from collections.abc import Callable

from spacy.language import Language
from spacy.pipeline.senter import SentenceRecognizer
from spacy.tokens import Doc
from thinc.api import Model, Optimizer
from thinc.types import Floats2d

from ..runtime.optimizer import for_head

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
    scorer: Callable | None,
) -> "SentenceStarts":
    """Make a component that sets sentence boundaries.

    A config names it by `factory = "sentence_starts"` in `[components.NAME]`.

    model (Model[list[Doc], list[Floats2d]]): Scores each word: it goes on with a sentence, or it
        starts one.
    overwrite (bool): Whether to replace boundaries that are set.
    scorer (Callable | None): The scoring method.
    """
    return SentenceStarts(nlp.vocab, model, name, overwrite=overwrite, scorer=scorer)


Language.factory(
    "sentence_starts",
    func=make_sentence_starts,
    assigns=["token.is_sent_start"],
    default_config={
        "model": DEFAULT_SENTENCE_MODEL,
        "overwrite": False,
        "scorer": {"@scorers": "spacy.senter_scorer.v1"},
    },
    default_score_weights={"sents_f": 0.0, "sents_p": 0.0, "sents_r": 0.0},
)


class SentenceStarts(SentenceRecognizer):
    """Sets sentence boundaries, before the encoder and the relation component.

    It is spaCy's `senter` but for one point: it trains at the `head_learn_rate` of this package's
    optimiser, since its weights start at random. Its model listens to no encoder, so that the
    encoder can encode each sentence by itself.
    """

    def finish_update(self, sgd: Optimizer) -> None:
        """Update the parameters with the gradients of the last `update`.

        sgd (Optimizer): The optimiser. An `AdamW` of this package applies its `head_learn_rate`.
        """
        self.model.finish_update(for_head(sgd))

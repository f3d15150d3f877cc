"""New labels for trained components that `spacy train` trains on."""

from spacy.language import Language
from spacy.util import logger

from ..pipeline.base import RelationPipe
from .corpus import PipelineCallback, find_reader, has_training_corpus


def add_labels() -> PipelineCallback:
    """Make a callback that adds the labels of the training corpus to trained components.

    It belongs in `[initialize.after_init]`. A component with `source` in its block of the config
    keeps its weights and its labels, and `spacy train` does not initialise it. The callback gives
    it the labels of the training corpus that it lacks; see `RelationPipe.add_labels`. Components in
    `frozen_components` stay as they are. Without a trained component it does not read the corpus.

    RETURNS (Callable[[Language], Language]): The callback.
    """
    return _add_labels


def _add_labels(nlp: Language) -> Language:
    config = nlp.config.interpolate()
    frozen = config["training"]["frozen_components"]
    trained: list[RelationPipe] = []
    # Components with a source are disabled while the others are initialised.
    for name, pipe in nlp.components:
        if isinstance(pipe, RelationPipe) and not pipe.is_new and name not in frozen:
            trained.append(pipe)
    if trained and has_training_corpus(config):
        examples = list(find_reader(config)(nlp))
        for pipe in trained:
            added = pipe.add_labels(examples)
            logger.info("Added labels to '%s': %s", pipe.name, ", ".join(added) or "none")
    return nlp

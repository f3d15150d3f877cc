"""The number of steps of a training: epochs times the batches of its corpus."""

from collections.abc import Iterator
from typing import cast

from spacy.language import Language
from spacy.util import registry
from thinc.api import Config

from .batchers import Batcher
from .corpus import PipelineCallback, find_reader, has_training_corpus

COUNT_STEPS = "spacy-tabcnn.count_steps.v1"
# The schedules that are constant while the number of steps is unknown.
CLOSED_SCHEDULES = ("spacy-tabcnn.warmup_linear.v1", "spacy-tabcnn.warmup_decaying.v1")
# The argument of a schedule that is filled in: the number of steps of the training.
TOTAL_STEPS = "total_steps"


def count_steps(*, n_epochs: int = 30, evaluations_per_epoch: float = 1.0) -> PipelineCallback:
    """Make a callback that sets the number of steps of a training from its epochs.

    It belongs in `[initialize.before_init]`, so `spacy train` calls it once, before the first step.
    It reads the training corpus once, counts the batches of an epoch, and writes these settings
    into the config of the pipeline:

    - `training.max_steps`, if it is 0: epochs times batches. A number above 0 stays.
    - `training.eval_frequency`, if it is 0: the batches between two evaluations.
    - `total_steps` of each schedule of the optimizer, if it is null: `max_steps`.
    - `training.max_epochs`, if it is above 0: it replaces `n_epochs` and is set to 0.

    If no setting is left to count, the callback does not read the corpus. A corpus that is not
    there is not counted either: `spacy train` refuses it later. A stream without end
    (`max_epochs = -1`) requires `max_steps` and `eval_frequency`.

    n_epochs (int): Number of passes through the training corpus.
    evaluations_per_epoch (float): Number of evaluations in each epoch. 0.5 means one evaluation in
        two epochs.
    RETURNS (Callable[[Language], Language]): The callback.
    RAISES (ValueError): If an argument is out of its range or, in the callback, if the training
        corpus has no batch.
    """
    if n_epochs < 1:
        raise ValueError(f"{COUNT_STEPS}: n_epochs is {n_epochs!r}; expected at least 1")
    if not evaluations_per_epoch > 0.0:
        raise ValueError(
            f"{COUNT_STEPS}: evaluations_per_epoch is {evaluations_per_epoch!r}; expected a number "
            "above 0"
        )

    def set_steps(nlp: Language) -> Language:
        config = nlp.config.interpolate()
        given = config["training"]
        settings = nlp.config["training"]
        limits = given["max_steps"] < 1, given["eval_frequency"] < 1, given["max_epochs"] > 0
        if any(limits) and has_training_corpus(config):
            n_batches = count_batches(nlp, config)
            _set_limits(settings, given, n_batches, n_epochs, evaluations_per_epoch)
        if settings["max_steps"]:
            _close_schedules(settings["optimizer"], settings["max_steps"])
        return nlp

    return set_steps


def reset_schedules() -> PipelineCallback:
    """Make a callback that prepares a trained pipeline for further training.

    It belongs in `[training.before_to_disk]`. In the config that is saved with the pipeline, it
    sets `total_steps` of each `spacy-tabcnn.warmup_linear.v1` and `spacy-tabcnn.warmup_decaying.v1`
    to null. So the rates of `nlp.update` and `nlp.resume_training` are low and constant in the
    loaded pipeline. Otherwise, they would follow the schedule of a whole training and hardly leave
    zero in the first steps.

    RETURNS (Callable[[Language], Language]): The callback.
    """
    return _open_schedules


def count_batches(nlp: Language, config: Config) -> int:
    """Count the batches of the first epoch, with a reader and a batcher of their own.

    nlp (Language): The pipeline.
    config (Config): Its interpolated config.
    RETURNS (int): The number of batches.
    RAISES (ValueError): If there are none.
    """
    batcher = registry.resolve({"batcher": config["training"]["batcher"]})["batcher"]
    examples = find_reader(config)(nlp)
    n_batches = 0
    for _ in cast(Batcher, batcher)(examples):
        n_batches += 1
    if not n_batches:
        name = config["training"]["train_corpus"]
        raise ValueError(f"{COUNT_STEPS}: [{name}] has no examples. Check its path")
    return n_batches


def _set_limits(
    settings: Config,
    given: Config,
    n_batches: int,
    n_epochs: int,
    evaluations_per_epoch: float,
) -> None:
    """Set the limits of the training that are not given."""
    if given["max_epochs"] > 0:
        n_epochs = given["max_epochs"]
        # spaCy would stop one step before the evaluation of the last epoch.
        settings["max_epochs"] = 0
    max_steps = n_epochs * n_batches
    if given["max_steps"] > 0:
        max_steps = given["max_steps"]
        if given["max_epochs"] > 0:
            max_steps = min(max_steps, n_epochs * n_batches)
    settings["max_steps"] = max_steps
    if given["eval_frequency"] < 1:
        frequency = round(n_batches / evaluations_per_epoch)
        settings["eval_frequency"] = max(1, min(frequency, max_steps))


def _close_schedules(optimizer: Config, n_steps: int) -> None:
    for schedule in _find_schedules(optimizer):
        if schedule.get(TOTAL_STEPS, n_steps) is None:
            schedule[TOTAL_STEPS] = n_steps


def _open_schedules(nlp: Language) -> Language:
    for schedule in _find_schedules(nlp.config["training"]["optimizer"]):
        if schedule["@schedules"] in CLOSED_SCHEDULES:
            schedule[TOTAL_STEPS] = None
    return nlp


def _find_schedules(block: Config) -> Iterator[Config]:
    """Find the schedules in a block of a config, at any depth."""
    for value in block.values():
        if isinstance(value, dict):
            if "@schedules" in value:
                yield cast(Config, value)
            yield from _find_schedules(cast(Config, value))

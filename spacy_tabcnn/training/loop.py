"""Training that a kill cannot damage: spaCy's loop, with checkpoints."""

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple, TypedDict, cast

import numpy as np
from filelock import FileLock, Timeout
from spacy.language import Language
from spacy.schemas import ConfigSchemaTraining
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.training.loop import (
    DIR_MODEL_BEST,
    DIR_MODEL_LAST,
    create_before_to_disk_callback,
    create_evaluation_callback,
    create_train_batches,
    train_while_improving,
    update_meta,
)
from spacy.util import registry, resolve_dot_names
from thinc.api import Config, Optimizer, fix_random_seed, set_gpu_allocator
from wasabi import Printer

from ..files import check_outputs, replace_folder, restore_folder
from ..pipeline.divergence import WHAT_TO_CHANGE, DivergenceError
from ..runtime.heap import frozen_heap
from .batches import EpochBatch, RepeatableBatches
from .checkpoint import (
    FOLDER,
    Checkpoint,
    CheckpointWriter,
    DamagedCheckpointError,
    read_checkpoint,
    remove_checkpoint,
)
from .optimizer import AVERAGE, MOMENTS
from .parameters import CannotResumeError
from .random_states import HostStates, StateData
from .settings import (
    TrainingSettings,
    check_names,
    compare,
    describe_environment,
    describe_training,
    join_differences,
    list_differences,
)
from .state import WEIGHTS, TrainingState

# Keys of the state of a checkpoint, besides the ones of `TrainingState`.
ROWS = "rows"
DRAWN = "drawn"
LOCK = "training.lock"

Info = dict[str, object]
Log = tuple[Callable[[Info | None], None], Callable[[], None]]


class OtherTrainingError(ValueError):
    """A checkpoint of a training with other settings."""


def train(
    config: Config,
    output: Path,
    *,
    resume: bool = False,
    code: Path | None = None,
    gpu_id: int = -1,
    stdout: IO[str] | None = None,
    stderr: IO[str] | None = None,
) -> Path:
    """Train a pipeline as `spacy train` does, with checkpoints.

    The result is the result of `spacy train`. At each evaluation, `model-last` is replaced, and so
    is `model-best` if it is the best one, each in one step. Then a checkpoint is written, from
    which a later call goes on. On the same machine it comes to the same weights, bit for bit, as a
    training that was never stopped.

    config (Config): The config, not interpolated.
    output (Path): The folder of the training.
    resume (bool): Go on from the checkpoint in the folder. Without a checkpoint, train from the
        beginning. A training that is complete is left as it is.
    code (Path | None): The Python file that registers functions of the config. It is not run, only
        compared with the file of the checkpoint.
    gpu_id (int): The GPU, or -1 for the CPU; see `spacy.cli._util.setup_gpu`.
    stdout (IO[str] | None): For messages and the training log; None for `sys.stdout`.
    stderr (IO[str] | None): For progress bars; None for `sys.stderr`.
    RETURNS (Path): The folder of the pipeline with the last weights.
    RAISES (OtherTrainingError): If the checkpoint comes from other settings or another corpus.
    RAISES (DamagedCheckpointError): If the checkpoint cannot be read.
    RAISES (CannotResumeError): If a part of the pipeline cannot go on.
    RAISES (DivergenceError): If a loss, a gradient or a weight is not finite any more, or the loss
        is out of all proportion. The pipelines of the last evaluation are kept.
    RAISES (OSError): If a file cannot be written, or another training writes to the folder.
    RAISES (ValueError): If the training would replace a file or folder that it reads, or the config
        has a setting that does not exist.
    """
    stdout, stderr = stdout or sys.stdout, stderr or sys.stderr
    messages = _Messages(stdout)
    check_names(config)
    settings = describe_training(config, code)
    _check_paths(config, output, settings, code)
    with _lock(output):
        return _train(config, output, settings, resume, gpu_id, messages, (stdout, stderr))


def train_or_go_on(
    config: Config,
    output: Path,
    *,
    code: Path | None = None,
    gpu_id: int = -1,
    stdout: IO[str] | None = None,
    stderr: IO[str] | None = None,
) -> Path:
    """Go on with a training; if its checkpoint cannot be used, train from the beginning.

    config (Config): See `train`, as for the arguments that follow.
    output (Path): The folder of the training.
    code (Path | None): The Python file that registers functions of the config.
    gpu_id (int): The GPU, or -1 for the CPU.
    stdout (IO[str] | None): For messages and the training log; None for `sys.stdout`.
    stderr (IO[str] | None): For progress bars; None for `sys.stderr`.
    RETURNS (Path): The folder of the pipeline with the last weights.
    """
    options: _Options = {"code": code, "gpu_id": gpu_id, "stdout": stdout, "stderr": stderr}
    try:
        return train(config, output, resume=True, **options)
    except (OtherTrainingError, DamagedCheckpointError, CannotResumeError) as err:
        _Messages(stdout or sys.stdout).warn(f"Training from the beginning: {err}")
        return train(config, output, **options)


class _Options(TypedDict):
    """The options that `train` and `train_or_go_on` share."""

    code: Path | None
    gpu_id: int
    stdout: IO[str] | None
    stderr: IO[str] | None


def _train(
    config: Config,
    output: Path,
    settings: TrainingSettings,
    resume: bool,
    gpu_id: int,
    messages: "_Messages",
    streams: tuple[IO[str], IO[str]],
) -> Path:
    """Train; see `train`."""
    for name in (DIR_MODEL_BEST, DIR_MODEL_LAST):
        restore_folder(output / name)
    checkpoint = None
    if resume:
        checkpoint = _find_checkpoint(output, settings, messages)
    if checkpoint is None:
        remove_checkpoint(output)
    elif checkpoint.record["is_complete"]:
        messages.good(f"The training in {output} is complete")
        return output / DIR_MODEL_LAST
    else:
        checkpoint.check()
        _set_logs_aside(checkpoint)
    messages.write(messages.printer.divider("Initializing pipeline"))
    nlp = init_nlp(config, use_gpu=gpu_id)
    messages.good("Initialized pipeline")
    messages.write(messages.printer.divider("Training pipeline"))
    training = _Training(nlp, output, settings, gpu_id=gpu_id, messages=messages)
    with frozen_heap():
        return training.run(checkpoint, *streams)


def _check_paths(
    config: Config, output: Path, settings: TrainingSettings, code: Path | None
) -> None:
    """Refuse to replace a file or folder that the training reads, such as a source, or its log."""
    inputs = [*settings["files"]]
    if code is not None:
        inputs.append(str(code))
    replaced = map(output.joinpath, (DIR_MODEL_BEST, DIR_MODEL_LAST, FOLDER))
    log = (config["training"].get("logger") or {}).get("output_file")
    check_outputs(filter(None, [log]), inputs, replaced=replaced)


@contextmanager
def _lock(output: Path) -> Iterator[None]:
    """Keep other trainings off a folder. The lock ends with this process, however it ends."""
    output.mkdir(parents=True, exist_ok=True)
    path = output / LOCK
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout as err:
        raise BlockingIOError(
            f"{output}: another training is writing to this folder. Wait until it has ended, or "
            "name another folder"
        ) from err
    try:
        yield
    finally:
        with suppress(OSError):  # Windows keeps open files
            path.unlink()
        lock.release()


class _Messages:
    """Writes messages in spaCy's style to a file."""

    def __init__(self, stdout: IO[str]) -> None:
        self.printer = Printer(no_print=True)
        self._stdout = stdout

    def write(self, text: str) -> None:
        print(text, file=self._stdout, flush=True)

    def info(self, text: str) -> None:
        self.write(self.printer.info(text))

    def good(self, text: str) -> None:
        self.write(self.printer.good(text))

    def warn(self, text: str) -> None:
        self.write(self.printer.warn(text))


class _Corpora(NamedTuple):
    """The corpora of a training and what is made of them."""

    batches: RepeatableBatches
    read_dev: Callable[[Language], Iterator[Example]]
    evaluate: Callable[[], tuple[float, dict[str, float]]]


class _Training:
    """A training from its first step, or from the step after a checkpoint.

    nlp (Language): The pipeline, initialised.
    output (Path): The folder of the training.
    settings (TrainingSettings): Everything on which the result depends.
    gpu_id (int): The GPU, or -1.
    messages (_Messages): For messages.
    """

    def __init__(
        self,
        nlp: Language,
        output: Path,
        settings: TrainingSettings,
        *,
        gpu_id: int,
        messages: _Messages,
    ) -> None:
        self.nlp = nlp
        self.output = output
        self.messages = messages
        config = nlp.config.interpolate()
        seed = config["training"]["seed"]
        if seed is not None:
            fix_random_seed(seed)
        allocator = config["training"]["gpu_allocator"]
        if gpu_id >= 0 and allocator:
            set_gpu_allocator(allocator)
        self._config = config
        self._options = registry.resolve(config["training"], schema=ConfigSchemaTraining)
        self._optimizer: Optimizer = self._options["optimizer"]
        self._before_to_disk = create_before_to_disk_callback(self._options["before_to_disk"])
        self._writer = CheckpointWriter(output, settings, describe_environment())
        self._rows: list[Info] = []
        self._n_steps = 0
        self._state: TrainingState | None = None
        try:
            self._state = TrainingState(nlp, self._optimizer, is_seeded=seed is not None)
        except CannotResumeError as err:
            self._state_error = err

    def run(self, checkpoint: Checkpoint | None, stdout: IO[str], stderr: IO[str]) -> Path:
        """Train to the end; see `train`."""
        start = _Start.read(checkpoint)
        if self._state is None:
            if checkpoint is not None:
                raise self._state_error
            self.messages.warn(f"No checkpoints, so --resume will not work: {self._state_error}")
        self._rows = start.rows
        self._n_steps = start.n_steps
        corpora = self._open_corpora(start)
        self._announce(start)
        with self.nlp.select_pipes(disable=self._options["frozen_components"]):
            log_step, close_log = self._options["logger"](self.nlp, stdout, stderr)
        restore = _Once(lambda: self._restore(checkpoint, start))
        try:
            self._loop(corpora, start, restore, log_step)
            # A training that was killed after its last checkpoint has nothing left to draw.
            restore()
        except DivergenceError as err:
            raise self._locate(err) from err
        except BaseException:
            self._explain_stop()
            raise
        finally:
            close_log()
        self._save(DIR_MODEL_LAST)
        if self._state is not None:
            self._writer.finish(self._n_steps - 1)
        self.messages.good(f"Saved pipeline to output directory {self.output / DIR_MODEL_LAST}")
        return self.output / DIR_MODEL_LAST

    def _open_corpora(self, start: "_Start") -> _Corpora:
        names = [self._options["train_corpus"], self._options["dev_corpus"]]
        train_corpus, dev_corpus = resolve_dot_names(self._config, names)
        batches = create_train_batches(
            self.nlp, train_corpus, self._options["batcher"], self._options["max_epochs"]
        )
        evaluate = create_evaluation_callback(self.nlp, dev_corpus, self._options["score_weights"])
        return _Corpora(RepeatableBatches(batches, start.drawn), dev_corpus, evaluate)

    def _announce(self, start: "_Start") -> None:
        """Write the messages that `spacy train` writes first."""
        self.messages.info(f"Pipeline: {self.nlp.pipe_names}")
        if self._options["frozen_components"]:
            self.messages.info(f"Frozen components: {self._options['frozen_components']}")
        if self._options["annotating_components"]:
            components = self._options["annotating_components"]
            self.messages.info(f"Set annotations on update for: {components}")
        self.messages.info(f"Initial learn rate: {self._optimizer.learn_rate}")
        if start.n_steps:
            self.messages.info(
                f"Going on after step {start.n_steps - 1}, from {self._writer.folder}"
            )

    def _loop(
        self,
        corpora: _Corpora,
        start: "_Start",
        restore: Callable[[], None],
        log_step: Callable[[Info | None], None],
    ) -> None:
        """Train. The steps before a checkpoint pass without an example, at the same scores."""

        def draw_batches() -> Iterator[EpochBatch]:
            yield from corpora.batches.skip(start.n_steps)
            yield from corpora.batches.draw(restore)

        earlier = iter(list(start.rows))

        def evaluate() -> tuple[float, object]:
            row = next(earlier, None)
            if row is None:
                return corpora.evaluate()
            # Readers count their passes.
            for _ in corpora.read_dev(self.nlp):
                pass
            return cast(float, row["score"]), row["other_scores"]

        options = self._options
        for name in ("eval_frequency", "accumulate_gradient"):
            if options[name] < 1:
                raise ValueError(f"[training] {name} is {options[name]}; expected at least 1")
        steps = train_while_improving(
            self.nlp,
            self._optimizer,
            draw_batches(),
            evaluate,
            dropout=options["dropout"],
            accumulate_gradient=options["accumulate_gradient"],
            patience=options["patience"],
            max_steps=options["max_steps"],
            eval_frequency=options["eval_frequency"],
            exclude=options["frozen_components"],
            annotating_components=options["annotating_components"],
            before_update=options["before_update"],
        )
        shown = iter(list(start.rows))
        for _, info, is_best in steps:
            if info["step"] < start.n_steps:
                if is_best is not None:
                    # The loggers get all evaluations, so that a log is complete.
                    row = {**info, **next(shown)}
                    self._update_meta(row)
                    log_step(row)
                continue
            self._check_losses(info["losses"])
            if is_best is None:
                log_step(None)
            else:
                self._finish_period(info, corpora.batches, is_best=is_best)
                log_step({**info, "output_path": str(self.output / DIR_MODEL_LAST)})
            self._n_steps = info["step"] + 1

    def _finish_period(self, info: Info, batches: RepeatableBatches, *, is_best: bool) -> None:
        """Save the pipeline and a checkpoint after an evaluation."""
        self._check_weights()
        self._update_meta(info)
        self._save(DIR_MODEL_LAST)
        if is_best:
            self._copy_to_best()
        self._rows.append(_make_row(info))
        if self._state is not None:
            self._write_checkpoint(self._state, cast(int, info["step"]), batches)

    def _write_checkpoint(
        self, state: TrainingState, step: int, batches: RepeatableBatches
    ) -> None:
        drawn: list[tuple[int, StateData]] = []
        for number, states in batches.drawn.items():
            drawn.append((number, states.to_data()))
        with replace_folder(self._writer.folder) as folder:
            collected = state.collect(folder, step)
            data = {**collected.data, ROWS: self._rows, DRAWN: drawn}
            self._writer.write(step, data, collected.tensors, folder, collected.files)

    def _restore(self, checkpoint: Checkpoint | None, start: "_Start") -> None:
        """Set the state of a checkpoint, before the first new step."""
        if checkpoint is None or self._state is None:
            return
        tensors = {}
        for kind in (WEIGHTS, *MOMENTS, AVERAGE):
            tensors[kind] = checkpoint.read_tensors(kind)
        self._state.set(start.data, tensors, checkpoint.folder)
        self._writer.keep_files(checkpoint.record["files"])
        self._warn_of_environment(checkpoint)

    def _warn_of_environment(self, checkpoint: Checkpoint) -> None:
        changes = []
        new = self._writer.environment
        for name, before, now in compare(checkpoint.record["environment"], new):
            changes.append(f"{name} was {before}, now {now}")
        if changes:
            self.messages.warn(
                "Going on in another environment, so the last digits may differ: "
                f"{join_differences(changes)}"
            )

    def _update_meta(self, info: Info) -> None:
        with self.nlp.select_pipes(disable=self._options["frozen_components"]):
            update_meta(self._options, self.nlp, info)

    def _save(self, name: str) -> None:
        with (
            replace_folder(self.output / name) as folder,
            self.nlp.use_params(self._optimizer.averages or {}),
        ):
            self._before_to_disk(self.nlp).to_disk(folder)

    def _copy_to_best(self) -> None:
        with replace_folder(self.output / DIR_MODEL_BEST) as folder:
            shutil.copytree(self.output / DIR_MODEL_LAST, folder, dirs_exist_ok=True)

    def _check_losses(self, losses: Mapping[str, object]) -> None:
        """Check the losses that are numbers on the host. An array on a device is not waited for."""
        for name, loss in losses.items():
            if isinstance(loss, float | np.floating) and not np.isfinite(loss):
                raise DivergenceError(f"Component '{name}': the loss is {loss}")

    def _check_weights(self) -> None:
        if self._state is None:
            return
        bad = self._state.find_bad_weights()
        if bad:
            component = bad[0].split("/", 1)[0]
            raise DivergenceError(
                f"Component '{component}': {len(bad)} of its parameters are not finite, such as "
                f"{bad[0]!r}"
            )

    def _locate(self, error: DivergenceError) -> DivergenceError:
        """Return the error with the step, the components and the weights that are kept."""
        text = str(error).replace(f". {WHAT_TO_CHANGE}", "")
        if self._state is not None and error.keys:
            components = ", ".join(map(repr, self._state.find_components(error.keys)))
            text += f", in {components}"
        kept = "No evaluation came before, so there are no weights to keep"
        if self._rows:
            kept = (
                f"{self.output / DIR_MODEL_LAST} has the weights of the evaluation at step "
                f"{self._rows[-1]['step']}, and {DIR_MODEL_BEST} the best ones so far"
            )
        return DivergenceError(f"Training has diverged at step {self._n_steps}: {text}. {kept}")

    def _explain_stop(self) -> None:
        if self._rows and self._state is not None:
            with suppress(OSError, ValueError):  # stdout may be the cause
                self.messages.warn(
                    f"Stopped at step {self._n_steps}. --resume goes on after step "
                    f"{self._rows[-1]['step']}"
                )


class _Start(NamedTuple):
    """The steps of a training that a checkpoint has.

    n_steps (int): Their number.
    rows (list[Info]): Their evaluations.
    drawn (dict[int, HostStates]): See `RepeatableBatches`.
    data (dict[str, object]): The state; see `TrainingState`.
    """

    n_steps: int
    rows: list[Info]
    drawn: dict[int, HostStates]
    data: dict[str, object]

    @classmethod
    def read(cls, checkpoint: Checkpoint | None) -> "_Start":
        """Read the steps of a checkpoint; without one, there are none."""
        if checkpoint is None:
            return cls(0, [], {}, {})
        data = checkpoint.read_state()
        drawn = {}
        for number, states in cast(list[tuple[int, StateData]], data[DRAWN]):
            drawn[number] = HostStates.from_data(states)
        return cls(checkpoint.record["step"] + 1, cast(list[Info], data[ROWS]), drawn, data)


class _Once:
    """A function that does its work at the first call only."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self._is_done = False

    def __call__(self) -> None:
        if not self._is_done:
            self._is_done = True
            self._function()


def _find_checkpoint(
    output: Path, settings: TrainingSettings, messages: _Messages
) -> Checkpoint | None:
    """Find the checkpoint to go on from."""
    checkpoint = read_checkpoint(output)
    if checkpoint is None:
        messages.info(f"No checkpoint in {output}: training from the beginning")
        return None
    differences = list_differences(checkpoint.record["settings"], settings)
    if differences:
        raise OtherTrainingError(
            f"{checkpoint.folder}: this checkpoint comes from another training: "
            f"{join_differences(differences)}. Go on with the same settings and files, or train "
            "anew, without --resume"
        )
    if checkpoint.record["is_complete"] and not (output / DIR_MODEL_LAST).is_dir():
        messages.info(f"{output / DIR_MODEL_LAST} is missing: training from the beginning")
        return None
    return checkpoint


def _set_logs_aside(checkpoint: Checkpoint) -> None:
    """Put the log files of a stopped training aside, since the new ones get all rows.

    spaCy's logger writes nothing to a file that exists.
    """
    for name, value in checkpoint.record["settings"]["config"].items():
        if name.startswith("training.logger.") and name.endswith(".output_file") and value:
            path = Path(str(value))
            if path.is_file():
                path.replace(path.with_name(f"{path.name}.old"))


def _make_row(info: Info) -> Info:
    """Return the parts of an evaluation that loggers read, as plain data."""
    row = {}
    for name in ("epoch", "step", "score", "other_scores", "losses", "words", "seconds"):
        row[name] = _make_plain(info[name])
    return row


def _make_plain(value: object) -> object:
    """Return numbers and strings as such, other objects as text."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        plain = {}
        for name, item in value.items():
            plain[str(name)] = _make_plain(item)
        return plain
    if isinstance(value, list | tuple):
        return list(map(_make_plain, value))
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)

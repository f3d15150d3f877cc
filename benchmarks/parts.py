"""Timers that split the time of a pipeline among its parts."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

from spacy.language import Language
from thinc.api import Optimizer

from spacy_tabcnn.models import encoder_forward

from .common import Row
from .pipelines import find_component, find_transformer

# Parts by the names of the layers of the word embeddings that belong to them.
_LAYER_PARTS = {"transformer-listener": "alignment", "trfs2arrays": "pooling"}
_TOKENIZER_METHODS = ("batch_encode_plus", "convert_ids_to_tokens")


class PartTimer:
    """A context that splits the time between its start and its end among named parts.

    The time of a part does not include the time of the parts inside it. The part "other" is the
    time outside all parts. At the end of the context, the timed functions are restored.

    clock (Callable[[], float]): Returns the time, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter):
        self.seconds: dict[str, float] = {}
        self._clock = clock
        self._running: list[str] = []
        self._since = 0.0
        self._patches = ExitStack()

    def __enter__(self) -> "PartTimer":
        self._since = self._clock()
        self._running.append("other")
        return self

    def __exit__(self, *error: object) -> None:
        self._charge()
        self._running.pop()
        self._patches.close()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time of a block.

        name (str): The part that the block belongs to.
        """
        self._charge()
        self._running.append(name)
        try:
            yield
        finally:
            self._charge()
            self._running.pop()

    def wrap(self, owner: object, attribute: str, part: str) -> None:
        """Count the time of a function.

        owner (object): The object, class or module that holds the function.
        attribute (str): The name of the function there.
        part (str): The part that the function belongs to.
        """
        function: Callable[..., object] = getattr(owner, attribute)

        def timed(*args: object, **kwargs: object) -> object:
            with self.part(part):
                return function(*args, **kwargs)

        self._replace(owner, attribute, timed)

    def wrap_layer(self, owner: object, attribute: str, forward: str, backward: str) -> None:
        """Count the time of a function that returns a result and a callback for the backward pass.

        owner (object): The thinc model or shim that holds the function.
        attribute (str): The name of the function there.
        forward (str): The part that the function belongs to.
        backward (str): The part that the callback belongs to.
        """
        function: Callable[..., tuple[object, Callable[[object], object]]]
        function = getattr(owner, attribute)

        def timed(*args: object, **kwargs: object) -> tuple[object, Callable[[object], object]]:
            with self.part(forward):
                output, backprop = function(*args, **kwargs)

            def timed_backprop(gradient: object) -> object:
                with self.part(backward):
                    return backprop(gradient)

            return output, timed_backprop

        self._replace(owner, attribute, timed)

    def _replace(self, owner: object, attribute: str, timed: Callable[..., object]) -> None:
        self._patches.enter_context(mock.patch.object(owner, attribute, timed))

    def _charge(self) -> None:
        now = self._clock()
        part = self._running[-1]
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._since
        self._since = now


@contextmanager
def profiled(nlp: Language, optimizer: Optimizer | None = None) -> Iterator[PartTimer]:
    """Split the time of a block among the parts of a pipeline.

    nlp (Language): The pipeline.
    optimizer (Optimizer | None): The optimiser, if the block trains.
    YIELDS (PartTimer): The timer. Its `seconds` are complete after the block.
    """
    with PartTimer() as timer:
        watch_component(timer, nlp)
        watch_transformer(timer, nlp)
        if optimizer is not None:
            watch_optimizer(timer, nlp, optimizer)
        yield timer


def watch_component(timer: PartTimer, nlp: Language) -> None:
    """Time the tokeniser and the parts of the table component.

    timer (PartTimer): The timer.
    nlp (Language): The pipeline.
    """
    component = find_component(nlp)
    module = sys.modules[type(component).__module__]
    tok2vec = component.model.get_ref("tok2vec")
    timer.wrap(nlp, "make_doc", "tokeniser")
    timer.wrap_layer(tok2vec, "_func", "other embeddings", "other embeddings")
    for layer in tok2vec.walk():
        if layer.name in _LAYER_PARTS:
            timer.wrap_layer(layer, "_func", _LAYER_PARTS[layer.name], _LAYER_PARTS[layer.name])
    timer.wrap_layer(component.model.get_ref("head"), "_func", "head forward", "head backward")
    timer.wrap(module, "decode_tables", "decode")
    timer.wrap(component, "set_annotations", "annotation")
    timer.wrap(module, "gold_tables", "data")
    timer.wrap(module, "table_loss", "loss")


def watch_transformer(timer: PartTimer, nlp: Language) -> None:
    """Time the parts of the shared encoder, if the pipeline has one.

    The part "alignment" is the component without the tokenisation into sub-words and without the
    encoder itself: batching, padding, the way from sub-words to words, and splitting by document.

    timer (PartTimer): The timer.
    nlp (Language): The pipeline.
    """
    transformer = find_transformer(nlp)
    if transformer is None:
        return
    shim = transformer.model.layers[0].shims[0]
    timer.wrap(transformer, "predict", "alignment")
    timer.wrap(transformer, "set_annotations", "alignment")
    timer.wrap_layer(transformer.model, "_func", "alignment", "alignment")
    for method in _TOKENIZER_METHODS:
        timer.wrap(transformer.model.tokenizer, method, "sub-word tokenisation")
    timer.wrap(encoder_forward, "tokenize_spans", "sub-word tokenisation")
    timer.wrap(shim, "predict", "encoder forward")
    timer.wrap_layer(shim, "begin_update", "encoder forward", "encoder backward")


def watch_optimizer(timer: PartTimer, nlp: Language, optimizer: Optimizer) -> None:
    """Time the updates of the weights.

    timer (PartTimer): The timer.
    nlp (Language): The pipeline.
    optimizer (Optimizer): The optimiser.
    """
    timer.wrap(optimizer, "step_schedules", "optimiser")
    for _, pipe in nlp.pipeline:
        if hasattr(pipe, "finish_update"):
            timer.wrap(pipe, "finish_update", "optimiser")


def share_rows(seconds: dict[str, float]) -> list[Row]:
    """Tabulate a profile.

    seconds (dict[str, float]): Seconds by part.
    RETURNS (list[Row]): The parts, the longest first, with milliseconds and percent of the total.
    """
    total = sum(seconds.values())
    rows: list[Row] = []
    for part in sorted(seconds, key=seconds.__getitem__, reverse=True):
        spent = seconds[part]
        rows.append({"part": part, "ms": 1000 * spent, "percent": 100 * spent / total})
    return rows

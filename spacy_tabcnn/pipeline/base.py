"""The common base of the components: labels, prediction, the training step, saving."""

import itertools
import multiprocessing
import os
import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, cast

import numpy as np
import torch
from spacy.errors import Errors
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.util import from_bytes, minibatch
from spacy.vocab import Vocab
from thinc.api import Model, NumpyOps, Optimizer, set_dropout_rate

from ..alignment import UNKNOWN_TYPE
from ..arrays import Scalar
from ..extensions import require_extensions
from ..heads.checks import check_dropout
from ..labels import LabelData, LabelScheme
from ..models.pooling import count_mixed_layers
from ..models.table_model import find_heads
from ..models.torch_twin import finish_update
from ..predictions import (
    DecodedProbabilities,
    EntityPrediction,
    EntityProbabilities,
    Temperature,
    soften,
)
from ..relations import get_entity_score, get_relations, has_relations
from ..runtime.head_shim import check_dims, grow_module
from ..runtime.optimizer import for_head
from ..runtime.plain_data import AdvisedError
from ..runtime.saved_layers import load_layers
from ..runtime.transfers import start_copy, start_read
from .divergence import check_loss
from .lossy_reader import check_dev_reader, check_train_reader
from .saved import read_counts, read_labels, read_part, read_parts, read_settings
from .training_texts import TextCounts, find_difference

# spaCy's own trainable tok2vec, so that a component needs neither transformer nor download.
DEFAULT_TOK2VEC = {
    "@architectures": "spacy.HashEmbedCNN.v2",
    "pretrained_vectors": None,
    "width": 96,
    "depth": 4,
    "embed_size": 2000,
    "window_size": 1,
    "maxout_pieces": 3,
    "subword_features": True,
}
ASSIGNS = ["doc.ents", "token.ent_iob", "token.ent_type", "doc._.relations", "span._.entity_score"]
SCORE_WEIGHTS = {
    "ents_f": 0.5,
    "ents_p": 0.0,
    "ents_r": 0.0,
    "ents_macro_f": None,
    "ents_per_type": None,
    "rels_strict_f": 0.5,
    "rels_strict_p": 0.0,
    "rels_strict_r": 0.0,
    "rels_strict_macro_f": None,
    "rels_strict_per_type": None,
    "rels_boundaries_f": 0.0,
    "rels_boundaries_p": None,
    "rels_boundaries_r": None,
    "rels_boundaries_macro_f": None,
    "rels_boundaries_per_type": None,
}
UNANNOTATED = (
    "documents with entities whose doc._.relations was never set (set [] to say that there are "
    "none)"
)

# The setting of the model that holds the labels of its weights.
LABELS_ATTR = "labels"
# Key of the warning of `find_difference` among the reported ones.
OTHER_TEXTS = "other texts"
# Key of the warning about entities of earlier components.
REPLACED = "replaced entities"
# Key of doc.user_data: `doc.ents` are gold entities, to be replaced without a warning.
GOLD_ENTITIES = "spacy_tabcnn.gold_entities"

InputT = TypeVar("InputT")
LogitsT = TypeVar("LogitsT")
GoldT = TypeVar("GoldT")


# Generic is first, since `TrainablePipe.__init_subclass__` of spaCy 3.8.2 does not call others.
class RelationPipe(Generic[InputT, LogitsT, GoldT], TrainablePipe, ABC):
    """A trainable component that sets entities and relations.

    A component of its own kind defines the abstract methods. A batch passes through them in this
    order:

        prediction:  _cut_batch -> model -> set_annotations
        training:    _cut_batch -> _make_gold -> _add_gold -> model -> _compute_loss

    The input of the model holds the documents and their cut into sentences or windows. The logits
    hold the same cut, so that no later step cuts again.
    """

    # The end of the warning about replaced entities.
    how_to_keep_entities: str
    # The settings that are compared with scores of entities and of relations.
    entity_thresholds: tuple[str, ...] = ()
    relation_thresholds: tuple[str, ...] = ("min_score",)

    def __init__(
        self,
        vocab: Vocab,
        model: Model[InputT, LogitsT],
        name: str,
        *,
        scorer: Callable | None,
        **settings: Any,
    ):
        """Initialise a component.

        vocab (Vocab): The pipeline's vocabulary.
        model (Model): Scores documents; it has a head, see `find_heads`.
        name (str): The component's name in the pipeline.
        scorer (Callable | None): The scoring method.
        settings (Any): Further settings of the config, kept in `cfg`; `max_length` and
            `temperature` among them.
        RAISES (ValueError): If a temperature is no number above 0, or has another name.
        """
        try:
            temperature = Temperature.of(settings["temperature"])
        except ValueError as err:
            raise ValueError(f"Component '{name}': {err}") from err
        self.vocab = vocab
        self.model = model
        self.name = name
        self.cfg: dict[str, Any] = {
            "labels": LabelScheme().to_dict(),
            "trained_on": TextCounts()._asdict(),
            **settings,
            "temperature": temperature._asdict(),
        }
        self.scorer = scorer
        self._used_on = TextCounts()
        # Whether `initialize` built the model. Otherwise, it was loaded from a trained pipeline.
        self.is_new = False
        self._reported: set[str] = set()
        self._parsed_labels: tuple[object, LabelScheme] | None = None
        require_extensions()

    @property
    def label_scheme(self) -> LabelScheme:
        """Return the labels and the type constraints.

        They are parsed once for each value of `cfg["labels"]`.
        """
        labels = self.cfg["labels"]
        if self._parsed_labels is None or self._parsed_labels[0] is not labels:
            self._parsed_labels = labels, LabelScheme.from_dict(labels)
        return self._parsed_labels[1]

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the entity types, then the relation types."""
        scheme = self.label_scheme
        return (*scheme.entities, *scheme.relations)

    @property
    def label_data(self) -> LabelData:
        """Return the labels as `initialize` takes them, for `spacy init labels`.

        RETURNS (dict): Entity types, and relation types with the pairs (head type, tail type) that
            they join.
        """
        return self.label_scheme.to_dict()

    @property
    def temperature(self) -> Temperature:
        """Return the temperatures of the scores; see `predictions.soften`."""
        return Temperature(**self.cfg["temperature"])

    @property
    def trained_on(self) -> TextCounts:
        """Return the documents of all updates so far, counted by their sentences."""
        return TextCounts(**self.cfg["trained_on"])

    def add_label(self, label: str, *, kind: Literal["entity", "relation"] = "entity") -> int:
        """Add a label. A relation type added here may join any pair of entity types.

        A trained component keeps its weights for the labels that it has, and its predictions stay
        until it is trained on; see `add_labels`.

        label (str): The label.
        kind (str): "entity" or "relation".
        RETURNS (int): 1, or 0 if the component had the label.
        RAISES (ValueError): If the label is no string, or the model cannot take more labels.
        """
        if not isinstance(label, str):
            raise ValueError(Errors.E187)
        if kind not in ("entity", "relation"):
            raise ValueError(
                f"Component '{self.name}': kind is {kind!r}; expected 'entity' or 'relation'"
            )
        scheme = LabelScheme.from_dict(self.cfg["labels"])
        add = {"entity": scheme.add_entity, "relation": scheme.add_relation}[kind]
        is_new = add(label)
        self._extend_labels(scheme)
        return int(is_new)

    def add_labels(self, examples: Iterable[Example]) -> list[str]:
        """Add the labels of examples, with the pairs of entity types that their relations join.

        The scores of a new label begin low, so predictions stay until the component is trained on
        examples with the label. Mix them with examples of the old labels, which it may otherwise
        forget.

        examples (Iterable[Example]): The examples.
        RETURNS (list[str]): The labels that the component did not have.
        RAISES (ValueError): If the model cannot take more labels.
        """
        known = self.labels
        given = _collect_labels(examples)
        self._extend_labels(_join_schemes(LabelScheme.from_dict(self.cfg["labels"]), given))
        return [label for label in self.labels if label not in known]

    def __call__(self, doc: Doc) -> Doc:
        _prepare_worker()
        return super().__call__(doc)

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterable[Doc]:
        """Annotate a stream of documents.

        stream (Iterable[Doc]): The documents.
        batch_size (int): Number of documents to score at once; fewer where their logits would take
            too much memory.
        YIELDS (Doc): The documents, in order.
        """
        # Before the first document is drawn through the pipeline, hence before an upstream
        # component uses torch.
        _prepare_worker()
        parts = itertools.chain.from_iterable(
            map(self._split_batch, minibatch(stream, size=batch_size))
        )
        if isinstance(self.model.ops, NumpyOps):
            for part in parts:
                yield from super().pipe(part, batch_size=len(part))
        else:
            yield from self._pipe_ahead(parts)

    def _pipe_ahead(self, parts: Iterable[list[Doc]]) -> Iterator[Doc]:
        """Annotate batches while a GPU scores the next one."""
        waiting: list[tuple[list[Doc], Callable[[], LogitsT]]] = []
        for docs in parts:
            try:
                logits = start_copy(cast(Any, self.predict(docs)))
            except Exception as error:
                yield from self._annotate_waiting(waiting)
                self.get_error_handler()(self.name, self, docs, error)
                continue
            yield from self._annotate_waiting(waiting)
            waiting.append((docs, logits))
        yield from self._annotate_waiting(waiting)

    def _annotate_waiting(
        self, waiting: list[tuple[list[Doc], Callable[[], LogitsT]]]
    ) -> Iterator[Doc]:
        while waiting:
            docs, get_logits = waiting.pop()
            try:
                self.set_annotations(docs, get_logits())
            except Exception as error:
                self.get_error_handler()(self.name, self, docs, error)
            else:
                yield from docs

    def predict(self, docs: Iterable[Doc]) -> LogitsT:
        """Score documents, without changing them.

        docs (Iterable[Doc]): The documents.
        RETURNS (LogitsT): The logits of the batch, with its cut; `set_annotations` takes them.
        """
        batch = list(docs)
        self.require_initialized()
        self._compare_with_training(batch)
        inputs = self._cut_batch(batch)
        if not any(map(len, batch)):
            return self._empty_logits(self.label_scheme, inputs)
        return self.model.predict(inputs)

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch of examples.

        examples (Iterable[Example]): The examples.
        drop (float): The dropout rate, from 0 up to, but not including, 1.
        sgd (Optimizer | None): The optimiser, if the model is to be updated at once.
        losses (dict[str, float] | None): Losses by component name, to add to.
        RETURNS (dict[str, float]): The losses.
        RAISES (ValueError): If the dropout rate is another number.
        RAISES (DivergenceError): If the loss is not finite, or out of all proportion.
        """
        check_dropout(f"Component '{self.name}'", drop)
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        batch = list(examples)
        validate_examples(batch, f"{type(self).__name__}.update")
        docs = [eg.predicted for eg in batch]
        if not any(map(len, docs)):
            return losses
        self.require_initialized()
        self.cfg["trained_on"] = self.trained_on.add(docs)._asdict()
        set_dropout_rate(self.model, drop)
        inputs = self._cut_batch(docs)
        gold, skipped = self._make_gold(batch, inputs, self.label_scheme)
        self._report(skipped, advice=self._advise(skipped))
        logits, backprop = self.model.begin_update(self._add_gold(inputs, gold))
        loss, d_logits = self._compute_loss(logits, gold)
        read_loss = start_read(loss)
        # The loss and, in the optimiser, the gradient show an overflow.
        with np.errstate(over="ignore", invalid="ignore"):
            backprop(d_logits)
        # Only now, since the host waits here until the GPU has computed the loss.
        value = read_loss()
        check_loss(self.name, value, self._count_labels(gold))
        losses[self.name] += value
        if sgd not in (None, False):
            self.finish_update(sgd)
        return losses

    def get_loss(self, examples: Iterable[Example], scores: LogitsT) -> tuple[float, LogitsT]:
        """Compute the loss of a scored batch and its gradient.

        examples (Iterable[Example]): The examples. Missing annotation of a reference has no loss.
        scores (LogitsT): The logits of their predicted documents.
        RETURNS (tuple[float, LogitsT]): The loss in nats, and its gradient with respect to the
            scores.
        """
        batch = list(examples)
        inputs = self._cut_batch([eg.predicted for eg in batch])
        gold, skipped = self._make_gold(batch, inputs, self.label_scheme)
        self._report(skipped)
        loss, d_scores = self._compute_loss(scores, gold)
        return float(loss), d_scores

    def finish_update(self, sgd: Optimizer) -> None:
        """Update the parameters with the gradients of the last `update`.

        sgd (Optimizer): The optimiser. An `AdamW` of this package applies its `head_learn_rate`.
        """
        finish_update(self.model, for_head(sgd))

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: dict[str, object] | None = None,
    ) -> None:
        """Set labels and type constraints, and build the model.

        A trained component starts anew, as spaCy's components do. `add_labels` adds labels to its
        weights instead.

        get_examples (Callable[[], Iterable[Example]]): Returns a representative sample of the
            training data.
        nlp (Language | None): The pipeline.
        labels (dict | None): The labels, as `spacy init labels` writes them; see `label_data`. By
            default they come from the examples. They follow the labels of `add_label`.
        RAISES (ValueError): If there are no entity labels.
        """
        validate_get_examples(get_examples, f"{type(self).__name__}.initialize")
        if labels is None:
            given = _collect_labels(get_examples())
        else:
            given = LabelScheme.from_dict(labels)
        scheme = _join_schemes(LabelScheme.from_dict(self.cfg["labels"]), given)
        if not scheme.entities:
            raise ValueError(
                f"Component '{self.name}': the training data holds no entities. Check that the "
                "corpus was converted with `spacy tabcnn convert` or sets doc.ents, or give labels "
                "in [initialize.components]."
            )
        self._set_labels(scheme)
        sample = self._check_examples(get_examples(), scheme, nlp)
        logits = self._empty_logits(scheme, self._cut_batch([]))
        if nlp is not None:
            self._count_layers(nlp)
        self.model.initialize(X=cast(InputT, sample), Y=logits)
        self.is_new = True

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Save labels and weights.

        exclude (Iterable[str]): Names of parts to leave out.
        RETURNS (bytes): The saved component.
        """
        self._note_labels()
        data: bytes = super().to_bytes(exclude=exclude)
        return data

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Save labels and weights.

        path (str | Path): The folder to write.
        exclude (Iterable[str]): Names of parts to leave out.
        """
        self._note_labels()
        super().to_disk(path, exclude=exclude)

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "RelationPipe":
        """Load labels and weights. The settings of the component stay as its config sets them.

        bytes_data (bytes): The output of `to_bytes`.
        exclude (Iterable[str]): Names of parts to leave out.
        RETURNS (RelationPipe): The component.
        RAISES (ValueError): If a part is refused; see `from_disk`.
        """
        parts = {
            "cfg": self._load_settings,
            "vocab": lambda data: self.vocab.from_bytes(data, exclude=exclude),
            "model": self._load_model,
        }
        try:
            from_bytes(bytes_data, parts, exclude)
            if not {"cfg", "model"} & set(exclude):
                self._check_labels_fit()
        except ValueError as err:
            raise ValueError(f"Component '{self.name}' cannot be loaded: {err}") from err
        return self

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "RelationPipe":
        """Load labels and weights. The settings of the component stay as its config sets them.

        The files are not trusted: nothing in them is run or used as a path.

        path (str | Path): The folder that `to_disk` wrote.
        exclude (Iterable[str]): Names of parts to leave out.
        RETURNS (RelationPipe): The component.
        RAISES (ValueError): If a file is damaged, if its weights are not finite or do not fit the
            config, or if labels and weights do not fit. The message names the file.
        """
        left_out = set(exclude)
        if "vocab" not in left_out:
            self.vocab.from_disk(Path(path) / "vocab", exclude=exclude)
        read_parts(path, {"cfg": self._load_settings, "model": self._load_model}, left_out)
        if not {"cfg", "model"} & left_out:
            read_part(Path(path) / "cfg", lambda _: self._check_labels_fit())
        return self

    def try_out(self, doc: Doc) -> None:
        """Annotate a document to check that scores can be computed and decoded.

        The document counts for no warning.

        doc (Doc): A document that is of no further use.
        RAISES (ValueError): If the scores are not finite. Other errors show that the model does not
            fit its input.
        """
        if not self._is_initialized():
            return
        reported, used_on = set(self._reported), self._used_on
        logits = self.predict([doc])
        xp = self.model.ops.xp
        for scores in cast(tuple[object, ...], logits):
            if isinstance(scores, xp.ndarray) and not xp.isfinite(scores).all():
                raise ValueError("its scores are not finite (NaN or inf)")
        self.set_annotations([doc], logits)
        self._reported, self._used_on = reported, used_on

    def soften_scores(self, temperature: Temperature) -> dict[str, Any]:
        """Soften the scores of all further predictions, and the thresholds with them.

        So the predictions stay as they are.

        temperature (Temperature): Divides the logits of the scores as they are now.
        RETURNS (dict[str, Any]): The settings that changed, for `nlp.get_pipe_config`.
        """
        changed: dict[str, Any] = {"temperature": self.temperature.times(temperature)._asdict()}
        for number, names in zip(
            temperature, (self.entity_thresholds, self.relation_thresholds), strict=True
        ):
            for name in names:
                if self.cfg[name] is not None:
                    changed[name] = float(soften(np.array(self.cfg[name]), number))
        self.cfg.update(changed)
        return changed

    def require_initialized(self) -> None:
        """Check that the component has its weights.

        RAISES (ValueError): If it was neither initialised nor loaded.
        """
        if not self._is_initialized():
            raise ValueError(Errors.E109.format(name=self.name))

    def _load_settings(self, content: bytes) -> None:
        # Saved settings other than the learnt ones would silently override
        # spacy.load(..., config=...) and an edited config.cfg.
        settings = read_settings(content)
        self.cfg["labels"] = read_labels(settings.get("labels"))
        self.cfg["trained_on"] = read_counts(settings.get("trained_on"))._asdict()

    def _load_model(self, content: bytes) -> None:
        load_layers(self.model, content)
        for head in find_heads(self.model):
            check_dims(head)

    def _note_labels(self) -> None:
        """Write the labels next to the weights, so that labels of other weights are noticed."""
        self.model.attrs[LABELS_ATTR] = self._list_labels()

    def _list_labels(self) -> list[list[str]]:
        return [list(self.label_scheme.entities), list(self.label_scheme.relations)]

    def _check_labels_fit(self) -> None:
        """Check that the weights were learned for the labels.

        RAISES (ValueError): If they were not.
        """
        sizes = self._count_outputs(self.label_scheme)
        for head, (name, size) in itertools.product(find_heads(self.model), sizes.items()):
            if head.has_dim(name) and head.get_dim(name) != size:
                raise AdvisedError(
                    f"its labels need {name} = {size}, but the file `model` beside it has weights "
                    f"for {head.get_dim(name)}. The two files are of different pipelines"
                )
        noted = self.model.attrs.get(LABELS_ATTR)
        if noted is not None and noted != self._list_labels():
            raise AdvisedError(
                f"its labels are {self._list_labels()!r:.300}, but the weights in the file `model` "
                f"beside it were learned for {noted!r:.300}. The two files are of different "
                "pipelines"
            )

    def _count_layers(self, nlp: Language) -> None:
        """Count the layers of the encoder that this component listens to, for a mix of layers."""
        nodes = set(map(id, self.model.walk()))
        for _, pipe in nlp.pipeline:
            for listener in getattr(pipe, "listeners", []):
                encoder = getattr(cast(Any, pipe).model, "transformer", None)
                if id(listener) in nodes and encoder is not None:
                    count_mixed_layers(self.model, 1 + encoder.config.num_hidden_layers)

    def _is_initialized(self) -> bool:
        return all(map(_has_sizes, find_heads(self.model)))

    def _extend_labels(self, scheme: LabelScheme) -> None:
        """Set a scheme that begins with the labels of the component, and grow the model to it."""
        sizes = self._count_outputs(scheme)
        if self._is_initialized() and sizes != self._count_outputs(self.label_scheme):
            try:
                for head in find_heads(self.model):
                    grow_module(head, sizes)
            except ValueError as err:
                raise ValueError(f"Component '{self.name}': {err}") from err
        self._set_labels(scheme)

    def _set_labels(self, scheme: LabelScheme) -> None:
        self.cfg["labels"] = scheme.to_dict()
        for label in (*scheme.entities, *scheme.relations):
            self.vocab.strings.add(label)

    def _check_examples(
        self, examples: Iterable[Example], scheme: LabelScheme, nlp: Language | None
    ) -> list[Doc]:
        """Report the gold that the component cannot learn from.

        RETURNS (list[Doc]): The predicted documents of the first examples, to initialise with.
        """
        sample: list[Doc] = []
        skipped = Counter[str]()
        n_annotated = 0
        for eg in examples:
            if len(sample) < 10:
                sample.append(eg.x)
            skipped += self._make_gold([eg], self._cut_batch([eg.x]), scheme)[1]
            if has_relations(eg.reference):
                n_annotated += 1
            elif eg.reference.ents:
                skipped[UNANNOTATED] += 1
        if nlp is not None:
            check_train_reader(nlp, self.name, skipped[UNANNOTATED], n_annotated)
            if scheme.relations:
                check_dev_reader(nlp, self.name)
        self._report(+skipped)
        return sample

    @abstractmethod
    def set_annotations(self, docs: Iterable[Doc], logits: LogitsT) -> None:
        """Set entities, relations and their scores.

        docs (Iterable[Doc]): The documents.
        logits (LogitsT): The output of `predict` for them.
        """

    def rate_entities(self, docs: Sequence[Doc], logits: LogitsT) -> list[EntityProbabilities]:
        """Return the probabilities of the entities that documents may have.

        By default, only the predicted entities have probabilities.

        docs (Sequence[Doc]): The documents, annotated by `set_annotations`.
        logits (LogitsT): The output of `predict` for them.
        RETURNS (list[EntityProbabilities]): The probabilities for each document.
        """
        return list(map(_rate_decoded, docs))

    @abstractmethod
    def _cut_batch(self, docs: list[Doc]) -> InputT:
        """Return the input of the model for prediction: documents with their cut."""

    @abstractmethod
    def _make_gold(
        self, examples: Sequence[Example], inputs: InputT, scheme: LabelScheme
    ) -> tuple[GoldT, Counter[str]]:
        """Return the gold of a batch.

        RETURNS (tuple[GoldT, Counter[str]]): The gold, and the number of entities and relations
            that the component cannot represent, by reason.
        """

    @abstractmethod
    def _add_gold(self, inputs: InputT, gold: GoldT) -> InputT:
        """Return the input of the model for training."""

    @abstractmethod
    def _compute_loss(self, logits: LogitsT, gold: GoldT) -> tuple[Scalar, LogitsT]:
        """Compute the loss of a batch and its gradient with respect to the logits."""

    @abstractmethod
    def _count_labels(self, gold: GoldT) -> int:
        """Return the number of labels over which the loss is a sum; 1 if it is a mean."""

    @abstractmethod
    def _count_outputs(self, scheme: LabelScheme) -> dict[str, int]:
        """Return the dimensions of the head that the labels decide, by name."""

    @abstractmethod
    def _empty_logits(self, scheme: LabelScheme, inputs: InputT) -> LogitsT:
        """Return the logits of a batch without words."""

    def _split_batch(self, docs: list[Doc]) -> Iterator[list[Doc]]:
        """Divide a batch that is too large to be scored at once."""
        yield docs

    def _compare_with_training(self, docs: Sequence[Doc]) -> None:
        """Warn once if the texts differ from the texts in training in a way that matters."""
        if OTHER_TEXTS in self._reported:
            return
        self._used_on = self._used_on.add(docs)
        difference = find_difference(self.trained_on, self._used_on)
        if difference is not None:
            self._reported.add(OTHER_TEXTS)
            warnings.warn(f"Component '{self.name}' {difference}", stacklevel=2)

    def _warn_of_replaced(self, docs: Iterable[Doc]) -> None:
        """Warn once if entities of earlier components are replaced.

        Annotated documents, such as those of examples, are meant to be annotated anew.
        """
        if REPLACED in self._reported:
            return
        for doc in docs:
            if doc.ents and not has_relations(doc) and GOLD_ENTITIES not in doc.user_data:
                self._reported.add(REPLACED)
                example = f"{doc.ents[0].text!r} ({doc.ents[0].label_})"
                warnings.warn(
                    f"Component '{self.name}' replaces the entities that were set before it, for "
                    f"example {example}. {self.how_to_keep_entities}",
                    stacklevel=2,
                )
                return

    def _advise(self, skipped: Counter[str]) -> str:
        """Return the advice of `update` about gold that the component cannot represent."""
        if not any(UNKNOWN_TYPE in reason for reason in skipped):
            return ""
        return (
            ". A trained component learns new labels after "
            f"nlp.get_pipe({self.name!r}).add_labels(examples); in a config for `spacy train`, "
            '[initialize.after_init] with @callbacks = "spacy-tabcnn.add_labels.v1" adds them'
        )

    def _report(self, skipped: Counter[str], *, advice: str = "") -> None:
        """Warn of gold that the component cannot represent, once for each reason."""
        new = [reason for reason in skipped if reason not in self._reported]
        if new:
            self._reported.update(new)
            counts = "; ".join(f"{skipped[reason]} {reason}" for reason in new)
            warnings.warn(
                f"Component '{self.name}' cannot learn from: {counts}{advice}", stacklevel=2
            )


def split_by_logits(
    docs: Iterable[Doc], n_labels: int, *, max_length: int, max_logits: int
) -> Iterator[list[Doc]]:
    """Divide a batch into parts whose tables fit in memory.

    docs (Iterable[Doc]): The documents.
    n_labels (int): Number of labels of a cell.
    max_length (int): Maximum number of words of a table.
    max_logits (int): Maximum number of logits of a part of several documents.
    YIELDS (list[Doc]): A part, in order.
    """
    part: list[Doc] = []
    size = 0
    for doc in docs:
        # The maximum number of cells, wherever the sentences begin.
        n_logits = len(doc) * min(len(doc), max_length) * n_labels
        if part and size + n_logits > max_logits:
            yield part
            part, size = [], 0
        part.append(doc)
        size += n_logits
    yield part


def _prepare_worker() -> None:
    """Prepare a worker process of `nlp.pipe(n_process=...)` for annotation."""
    require_extensions()  # a spawned worker starts without them
    if multiprocessing.parent_process() is None:
        return
    # A forked worker lacks the threads of its parent's pools, OpenMP's and the tokenizers', and
    # would wait for them without end. The workers share the cores in any case.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    if torch.get_num_threads() > 1:
        torch.set_num_threads(1)


def _rate_decoded(doc: Doc) -> EntityProbabilities:
    """Return the probabilities of the entities that a document has; 1 for given entities."""
    entities = []
    for ent in doc.ents:
        score = get_entity_score(ent)
        if score is None:
            score = 1.0
        entities.append(EntityPrediction(ent.start, ent.end, ent.label_, score))
    return DecodedProbabilities(entities)


def _has_sizes(head: Model) -> bool:
    return all(map(head.has_dim, head.dim_names))


def _collect_labels(examples: Iterable[Example]) -> LabelScheme:
    """Collect the labels of references, sorted.

    A relation type gets the pairs of entity types that it joins.
    """
    entities: set[str] = set()
    relations: dict[str, set[tuple[str, str]]] = {}
    for eg in examples:
        entities.update(ent.label_ for ent in eg.reference.ents)
        for relation in get_relations(eg.reference):
            pair = relation.head.label_, relation.tail.label_
            relations.setdefault(relation.label, set()).add(pair)
    return LabelScheme(
        sorted(entities), {label: sorted(relations[label]) for label in sorted(relations)}
    )


def _join_schemes(scheme: LabelScheme, given: LabelScheme) -> LabelScheme:
    """Add given labels to a scheme.

    A relation type that `add_label` left without type constraints stays without them.
    """
    for label in given.entities:
        scheme.add_entity(label)
    unconstrained = {label for label, pairs in scheme.relations.items() if not pairs}
    for label, pairs in given.relations.items():
        scheme.add_relation(label, () if label in unconstrained else pairs)
    return scheme

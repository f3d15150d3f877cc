"""What the components share: labels, the training step, saving. Each adds what it predicts and how it is scored."""

import multiprocessing
import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from spacy.errors import Errors
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.util import minibatch
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer, set_dropout_rate

from ..labels import LabelScheme
from ..relations import get_relations, has_relations, register_extensions
from ..runtime.optimizer import for_head

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


class RelationPipe(TrainablePipe, ABC):
    """A trainable component that sets entities and relations.

    A component of its own kind defines the abstract methods. The layer "head" of its model has no dimension that is not
    known once it is initialised.
    """

    def __init__(
        self, vocab: Vocab, model: Model, name: str, *, scorer: Callable | None, **settings: Any
    ):
        """Initialise a component.

        vocab (Vocab): The pipeline's vocabulary.
        model (Model): Scores documents; it has a reference "head" and an attribute "max_length".
        name (str): The component's name in the pipeline.
        scorer (Callable | None): The scoring method.
        settings (Any): What the config says besides; kept in `cfg`, `max_length` among them.
        """
        self.vocab = vocab
        self.model = model
        self.name = name
        self.cfg: dict[str, Any] = {"labels": LabelScheme().to_dict(), **settings}
        self.scorer = scorer
        self._reported: set[str] = set()
        register_extensions()

    @property
    def label_scheme(self) -> LabelScheme:
        """RETURNS (LabelScheme): The labels and the type constraints."""
        return LabelScheme.from_dict(self.cfg["labels"])

    @property
    def labels(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): The entity types, then the relation types."""
        scheme = self.label_scheme
        return (*scheme.entities, *scheme.relations)

    @property
    def label_data(self) -> dict[str, Any]:
        """RETURNS (dict): The labels as `initialize` takes them, for `spacy init labels`: entity types, and relation
        types with the pairs (head type, tail type) they join."""
        return self.label_scheme.to_dict()

    def add_label(self, label: str, *, kind: Literal["entity", "relation"] = "entity") -> int:
        """Add a label. A relation type added here may join any pair of entity types.

        label (str): The label.
        kind (str): "entity" or "relation".
        RETURNS (int): 1, or 0 if the component had the label.
        RAISES (ValueError): If the label is no string, or the model has been initialised.
        """
        if not isinstance(label, str):
            raise ValueError(Errors.E187)
        if kind not in ("entity", "relation"):
            raise ValueError(
                f"Component '{self.name}': kind is {kind!r}; expected 'entity' or 'relation'"
            )
        scheme = self.label_scheme
        is_new = scheme.add_entity(label) if kind == "entity" else scheme.add_relation(label)
        if is_new and self._is_initialized():
            raise ValueError(
                f"Component '{self.name}': cannot add the {kind} label {label!r}, since the size of the initialised "
                f"model is fixed. Add labels before nlp.initialize()."
            )
        self._set_labels(scheme)
        return int(is_new)

    def __call__(self, doc: Doc) -> Doc:
        _prepare_worker()
        return super().__call__(doc)

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterable[Doc]:
        """Annotate a stream of documents.

        stream (Iterable[Doc]): The documents.
        batch_size (int): How many to score at once; fewer where their logits would take too much memory.
        YIELDS (Doc): The documents, in order.
        """
        # Before the first document is drawn through the pipeline, hence before an upstream component uses torch.
        _prepare_worker()
        for docs in minibatch(stream, size=batch_size):
            for part in self._parts(docs):
                yield from super().pipe(part, batch_size=len(part))

    def predict(self, docs: Iterable[Doc]) -> Any:
        """Score documents, without changing them.

        docs (Iterable[Doc]): The documents.
        RETURNS (Any): What the model returns for them; `set_annotations` takes it.
        """
        docs = list(docs)
        self._require_initialized()
        if not any(len(doc) for doc in docs):
            return self._empty_logits(self.label_scheme)
        self.model.attrs["max_length"] = self.cfg["max_length"]
        return self.model.predict(self._model_input(docs))

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
        drop (float): The dropout rate.
        sgd (Optimizer | None): The optimiser, if the model is to be updated at once.
        losses (dict[str, float] | None): Losses by component name, to add to.
        RETURNS (dict[str, float]): The losses.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, f"{type(self).__name__}.update")
        docs = [eg.predicted for eg in examples]
        if not any(len(doc) for doc in docs):
            return losses
        self._require_initialized()
        set_dropout_rate(self.model, drop)
        losses[self.name] += self._learn(examples, docs)
        if sgd not in (None, False):
            self.finish_update(sgd)
        return losses

    def finish_update(self, sgd: Optimizer) -> None:
        """Update the parameters with the gradients of the last `update`.

        sgd (Optimizer): The optimiser. An `AdamW` of this package applies its `head_learn_rate`.
        """
        self.model.finish_update(for_head(sgd))

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: dict[str, Any] | None = None,
    ) -> None:
        """Set labels and type constraints, and build the model.

        get_examples (Callable[[], Iterable[Example]]): Returns a representative sample of the training data.
        nlp (Language | None): The pipeline.
        labels (dict | None): The labels, as `spacy init labels` writes them; see `label_data`. By default they come
            from the examples. They follow those of `add_label`.
        RAISES (ValueError): If there are no entity labels.
        """
        validate_get_examples(get_examples, f"{type(self).__name__}.initialize")
        scheme = self.label_scheme
        given = _labels_of(get_examples()) if labels is None else LabelScheme.from_dict(labels)
        for label in given.entities:
            scheme.add_entity(label)
        unconstrained = {label for label, pairs in scheme.relations.items() if not pairs}
        for label, pairs in given.relations.items():
            scheme.add_relation(label, () if label in unconstrained else pairs)
        if not scheme.entities:
            raise ValueError(
                f"Component '{self.name}': the training data holds no entities. Check that the corpus was converted "
                "with `spacy tabcnn convert` or sets doc.ents, or give labels in [initialize.components]."
            )
        self._set_labels(scheme)

        sample: list[Doc] = []
        skipped = Counter[str]()
        unannotated = 0
        for eg in get_examples():
            if len(sample) < 10:
                sample.append(eg.x)
            skipped += self._unlearnable(eg, scheme)
            unannotated += bool(eg.reference.ents) and not has_relations(eg.reference)
        if unannotated:
            skipped[
                "documents with entities whose doc._.relations was never set (set [] to say that there are none)"
            ] = unannotated
        self._report(skipped)
        self.model.initialize(X=sample, Y=self._empty_logits(scheme))

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "RelationPipe":
        """Load labels and weights. The settings of the component stay those of its config.

        bytes_data (bytes): What `to_bytes` returned.
        exclude (Iterable[str]): Names of parts to leave out.
        RETURNS (RelationPipe): The component.
        """
        with self._settings_kept():
            return super().from_bytes(bytes_data, exclude=exclude)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "RelationPipe":
        """Load labels and weights. The settings of the component stay those of its config.

        path (str | Path): The folder that `to_disk` wrote.
        exclude (Iterable[str]): Names of parts to leave out.
        RETURNS (RelationPipe): The component.
        """
        with self._settings_kept():
            return super().from_disk(path, exclude=exclude)

    @contextmanager
    def _settings_kept(self) -> Iterator[None]:
        # Saved settings would silently override what spacy.load(..., config=...) or an edited config.cfg says.
        settings = {key: value for key, value in self.cfg.items() if key != "labels"}
        yield
        self.cfg.update(settings)

    def _is_initialized(self) -> bool:
        head = self.model.get_ref("head")
        return all(head.has_dim(name) is True for name in head.dim_names)

    def _require_initialized(self) -> None:
        if not self._is_initialized():
            raise ValueError(Errors.E109.format(name=self.name))

    def _set_labels(self, scheme: LabelScheme) -> None:
        self.cfg["labels"] = scheme.to_dict()
        for label in (*scheme.entities, *scheme.relations):
            self.vocab.strings.add(label)

    @abstractmethod
    def set_annotations(self, docs: Iterable[Doc], logits: Any) -> None:
        """Set entities, relations and their scores.

        docs (Iterable[Doc]): The documents.
        logits (Any): What `predict` returned for them.
        """

    @abstractmethod
    def get_loss(self, examples: Iterable[Example], scores: Any) -> tuple[float, Any]:
        """Find the loss of a batch and its gradient.

        examples (Iterable[Example]): The examples. What is not annotated in a reference has no loss.
        scores (Any): What the model returned for their predicted documents.
        RETURNS (tuple[float, Any]): The loss, and its gradient with respect to the scores.
        """

    @abstractmethod
    def _learn(self, examples: list[Example], docs: list[Doc]) -> float:
        """Find the gradient of a batch, whose predicted documents are given besides: the loss."""

    @abstractmethod
    def _unlearnable(self, example: Example, scheme: LabelScheme) -> Counter[str]:
        """Count the gold that the component cannot represent, by reason."""

    @abstractmethod
    def _empty_logits(self, scheme: LabelScheme) -> Any:
        """What the model would return if there was nothing to score."""

    def _model_input(self, docs: list[Doc]) -> Any:
        """What the model scores documents by."""
        return docs

    def _parts(self, docs: list[Doc]) -> Iterator[list[Doc]]:
        """Divide a batch where it is too large to be scored at once."""
        yield docs

    def _report(self, skipped: Counter[str]) -> None:
        """Warn of gold that the component cannot represent, once for each reason."""
        new = {reason: count for reason, count in skipped.items() if reason not in self._reported}
        if new:
            self._reported.update(new)
            counts = "; ".join(f"{count} {reason}" for reason, count in new.items())
            warnings.warn(f"Component '{self.name}' cannot learn from: {counts}", stacklevel=2)


def _prepare_worker() -> None:
    """Make a worker process of `nlp.pipe(n_process=...)` fit to annotate."""
    register_extensions()  # a spawned worker starts without them
    if multiprocessing.parent_process() is not None and torch.get_num_threads() > 1:
        # A forked worker lacks the threads of its parent's OpenMP pool and would wait for them for ever; and the
        # workers share the cores in any case.
        torch.set_num_threads(1)


def _labels_of(examples: Iterable[Example]) -> LabelScheme:
    """Collect the labels of references, sorted, and the pairs of entity types that each relation type joins."""
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

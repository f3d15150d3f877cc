"""The trainable component `relation_table`, also registered as `tabcnn`."""

import multiprocessing
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from spacy.errors import Errors
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc, Span
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.util import minibatch
from spacy.vocab import Vocab
from thinc.api import Config, Model, Optimizer, set_dropout_rate

from ..labels import LabelScheme
from ..models.table_model import GoldInput
from ..relations import Relation, get_relations, has_relations, register_extensions, set_entity_scores
from ..table.decode import Aggregation, decode_tables
from ..table.gold import GoldTable, gold_tables
from ..table.loss import table_loss
from ..table.types import TableLogits
from ..table.windows import DEFAULT_MAX_LENGTH, Windows, sentence_bounds, sentence_lengths
from ..training.optimizer import AdamW

relation_table_default_config = """
[model]
@architectures = "spacy-tabcnn.TableModel.v1"

[model.tok2vec]
@architectures = "spacy.HashEmbedCNN.v2"
pretrained_vectors = null
width = 96
depth = 4
embed_size = 2000
window_size = 1
maxout_pieces = 3
subword_features = true

[model.head]
@architectures = "spacy-tabcnn.TableCNN.v1"
kernel_size = 3
hidden = [512]
dropout = null
"""
MAX_LOGITS = 2**26  # of the tables that `pipe` scores at once; 256 MiB
DEFAULT_TABLE_MODEL = Config().from_str(relation_table_default_config)["model"]


def make_relation_table(
    nlp: Language,
    name: str,
    model: Model[list[Doc] | GoldInput, TableLogits],
    aggregation: Aggregation,
    min_score: float | None,
    type_constraints: bool,
    max_length: int,
    scorer: Callable | None,
) -> "RelationTable":
    """Make a relation table component; `[components.NAME] factory = "relation_table"` or `"tabcnn"` in a config.

    model (Model[list[Doc] | GoldInput, TableLogits]): Scores the tables of a batch of documents.
    aggregation (str): How the cells of a pair of entities make one relation: "mean" (the normalised geometric mean of
        their probabilities) or "any" (one cell is enough, the paper's rule).
    min_score (float | None): Least probability of a relation. None: it must beat "none".
    type_constraints (bool): Whether a relation may only join pairs of entity types that it joins in the training
        data.
    max_length (int): Most words of a table, at least 2. A longer sentence, or a document without sentence boundaries,
        is cut into windows of so many words, a new one every `max_length // 2` words. This hides no entity and no
        relation over up to half of `max_length` words; one over more than `max_length` words cannot be found. Time and
        memory grow with `max_length` times the words. The default leaves ordinary sentences whole.
    scorer (Callable | None): The scoring method.
    """
    return RelationTable(
        nlp.vocab,
        model,
        name,
        aggregation=aggregation,
        min_score=min_score,
        type_constraints=type_constraints,
        max_length=max_length,
        scorer=scorer,
    )


for _name in ("relation_table", "tabcnn"):
    Language.factory(
        _name,
        func=make_relation_table,
        assigns=["doc.ents", "token.ent_iob", "token.ent_type", "doc._.relations", "span._.entity_score"],
        default_config={
            "model": DEFAULT_TABLE_MODEL,
            "aggregation": "mean",
            "min_score": None,
            "type_constraints": True,
            "max_length": DEFAULT_MAX_LENGTH,
            "scorer": {"@scorers": "spacy-tabcnn.relation_scorer.v1"},
        },
        default_score_weights={
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
        },
    )


class RelationTable(TrainablePipe):
    """Predicts entities and the relations between them jointly, by filling a table over the words of each sentence:
    the diagonal holds BILOU tags, cell (i, j) the directed relation between words i and j (paper, section 2).

    Sets `doc.ents`, replacing what was there, and `doc._.relations`. Where sentence boundaries are set, each sentence
    gets its own table; else a document is one table. What is longer than `max_length` words is cut into several tables.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[list[Doc] | GoldInput, TableLogits],
        name: str = "relation_table",
        *,
        aggregation: Aggregation = "mean",
        min_score: float | None = None,
        type_constraints: bool = True,
        max_length: int = DEFAULT_MAX_LENGTH,
        scorer: Callable | None = None,
    ):
        """Initialise a relation table component; see `make_relation_table`.

        RAISES (ValueError): If an option has a value it cannot have.
        """
        if aggregation not in ("mean", "any"):
            raise ValueError(f"Component '{name}': aggregation is {aggregation!r}; expected 'mean' or 'any'")
        if min_score is not None and not 0.0 <= min_score <= 1.0:
            raise ValueError(f"Component '{name}': min_score is {min_score!r}; expected a probability or null")
        if max_length < 2:
            raise ValueError(f"Component '{name}': max_length is {max_length!r}; expected at least 2 words")
        self.vocab = vocab
        self.model = model
        self.name = name
        self.cfg: dict[str, Any] = {
            "labels": LabelScheme().to_dict(),
            "aggregation": aggregation,
            "min_score": min_score,
            "type_constraints": type_constraints,
            "max_length": max_length,
        }
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
            raise ValueError(f"Component '{self.name}': kind is {kind!r}; expected 'entity' or 'relation'")
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
        batch_size (int): How many to score at once; fewer where they are so long that their logits would take more
            than 256 MiB.
        YIELDS (Doc): The documents, in order.
        """
        # Before the first document is drawn through the pipeline, hence before an upstream component uses torch.
        _prepare_worker()
        for docs in minibatch(stream, size=batch_size):
            for part in self._parts(docs):
                yield from super().pipe(part, batch_size=len(part))

    def predict(self, docs: Iterable[Doc]) -> TableLogits:
        """Score the tables of documents, without changing them.

        docs (Iterable[Doc]): The documents.
        RETURNS (TableLogits): The logits of the tables of their sentences' windows.
        """
        docs = list(docs)
        self._require_initialized()
        if not any(len(doc) for doc in docs):
            return self._empty_logits(self.label_scheme)
        self.model.attrs["max_length"] = self.cfg["max_length"]
        return self.model.predict(docs)

    def set_annotations(self, docs: Iterable[Doc], logits: TableLogits) -> None:
        """Set entities, relations and their scores.

        docs (Iterable[Doc]): The documents.
        logits (TableLogits): What `predict` returned for them.
        """
        docs = list(docs)
        predictions = iter(
            decode_tables(
                logits,
                Windows(sentence_lengths(docs), self.cfg["max_length"]),
                self.label_scheme,
                aggregation=self.cfg["aggregation"],
                min_score=self.cfg["min_score"],
                type_constraints=self.cfg["type_constraints"],
            )
        )
        for doc in docs:
            ents: list[Span] = []
            scores: list[float] = []
            relations: list[Relation] = []
            for offset, _ in sentence_bounds(doc):
                entities, edges = next(predictions)
                spans = [Span(doc, offset + ent.start, offset + ent.end, label=ent.label) for ent in entities]
                ents.extend(spans)
                scores.extend(ent.score for ent in entities)
                relations.extend(Relation(spans[edge.head], spans[edge.tail], edge.label, edge.score) for edge in edges)
            doc.set_ents(ents)
            set_entity_scores(doc, ents, scores)
            doc._.relations = relations

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
        validate_examples(examples, "RelationTable.update")
        docs = [eg.predicted for eg in examples]
        if not any(len(doc) for doc in docs):
            return losses
        self._require_initialized()
        set_dropout_rate(self.model, drop)
        self.model.attrs["max_length"] = self.cfg["max_length"]
        gold = self._gold_tables(examples)
        windows = Windows(sentence_lengths(docs), self.cfg["max_length"])
        gold_tags = np.concatenate([table.tags for table in gold])[windows.rows()]
        logits, backprop = self.model.begin_update(GoldInput(docs, gold_tags))
        loss, d_logits = table_loss(logits, gold)
        backprop(d_logits)
        if sgd not in (None, False):
            self.finish_update(sgd)
        losses[self.name] += loss
        return losses

    def finish_update(self, sgd: Optimizer) -> None:
        """Update the parameters with the gradients of the last `update`.

        sgd (Optimizer): The optimiser. An `AdamW` of this package applies its `head_learn_rate`.
        """
        self.model.finish_update(cast(Optimizer, sgd.for_head) if isinstance(sgd, AdamW) else sgd)

    def get_loss(self, examples: Iterable[Example], scores: TableLogits) -> tuple[float, TableLogits]:
        """Find the loss of predicted tables and its gradient.

        examples (Iterable[Example]): The examples. What is not annotated in a reference has no loss.
        scores (TableLogits): The logits of their predicted documents' tables.
        RETURNS (tuple[float, TableLogits]): The loss, summed over cells, and its gradient.
        """
        return table_loss(scores, self._gold_tables(examples))

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
        validate_get_examples(get_examples, "RelationTable.initialize")
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
            skipped += gold_tables(eg, scheme, max_length=self.cfg["max_length"])[1]
            unannotated += bool(eg.reference.ents) and not has_relations(eg.reference)
        if unannotated:
            skipped[
                "documents with entities whose doc._.relations was never set (set [] to say that there are none)"
            ] = unannotated
        self._report(skipped)
        self.model.initialize(X=sample, Y=self._empty_logits(scheme))

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "RelationTable":
        """Load labels and weights. The settings of the component stay those of its config.

        bytes_data (bytes): What `to_bytes` returned.
        exclude (Iterable[str]): Names of parts to leave out.
        RETURNS (RelationTable): The component.
        """
        with self._settings_kept():
            return super().from_bytes(bytes_data, exclude=exclude)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "RelationTable":
        """Load labels and weights. The settings of the component stay those of its config.

        path (str | Path): The folder that `to_disk` wrote.
        exclude (Iterable[str]): Names of parts to leave out.
        RETURNS (RelationTable): The component.
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
        return self.model.get_ref("head").has_dim("n_tags") is True

    def _require_initialized(self) -> None:
        if not self._is_initialized():
            raise ValueError(Errors.E109.format(name=self.name))

    def _set_labels(self, scheme: LabelScheme) -> None:
        self.cfg["labels"] = scheme.to_dict()
        for label in (*scheme.entities, *scheme.relations):
            self.vocab.strings.add(label)

    def _gold_tables(self, examples: Iterable[Example]) -> list[GoldTable]:
        """Fill the tables of the windows of a batch, and warn of what they cannot hold."""
        scheme = self.label_scheme
        gold, skipped = [], Counter[str]()
        for eg in examples:
            tables, eg_skipped = gold_tables(eg, scheme, max_length=self.cfg["max_length"])
            gold.extend(tables)
            skipped += eg_skipped
        self._report(skipped)
        return gold

    def _parts(self, docs: list[Doc]) -> Iterator[list[Doc]]:
        """Divide a batch, so that the logits of each part, if it has several documents, stay below a bound."""
        part: list[Doc] = []
        size = 0
        for doc in docs:
            # No more cells than this, wherever the sentences begin.
            n_logits = len(doc) * min(len(doc), self.cfg["max_length"]) * self.label_scheme.n_relations
            if part and size + n_logits > MAX_LOGITS:
                yield part
                part, size = [], 0
            part.append(doc)
            size += n_logits
        yield part

    def _empty_logits(self, scheme: LabelScheme) -> TableLogits:
        ops = self.model.ops
        return TableLogits(ops.alloc2f(0, scheme.n_tags), ops.alloc2f(0, scheme.n_relations), np.zeros(0, np.int64))

    def _report(self, skipped: Counter[str]) -> None:
        """Warn of gold that the table cannot hold, once for each reason."""
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
    return LabelScheme(sorted(entities), {label: sorted(relations[label]) for label in sorted(relations)})

"""Suspects in a corpus with known errors: labels corrupted at random, and the precision."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from spacy.tokens import Doc, Span
from spacy.util import load_config
from spacy.vocab import Vocab

from spacy_tabcnn.cli.cross_validate import cross_validate
from spacy_tabcnn.cli.suspects import find_in_folds, write_suspects
from spacy_tabcnn.corpora.docbin import read_docbin
from spacy_tabcnn.corpora.folds import make_folds
from spacy_tabcnn.documents import ORIG_ID, copy_words
from spacy_tabcnn.evaluation.items import EntityItem, Item, entity_items, relation_items
from spacy_tabcnn.evaluation.suspects import Suspect
from spacy_tabcnn.relations import Relation, get_relations, set_relations

from .grid import Overrides, Run
from .results import RunScores

# The numbers of suspects over which the precision is computed.
CUTS = (50, 100)
_ENTITY_ERRORS = ("type", "removed", "boundary")
_RELATION_ERRORS = ("type", "removed", "direction")

# Characters other than white space, as in `EntityItem`.
Boundaries = tuple[int, int]


class Corruption(NamedTuple):
    """The errors in a document.

    doc (Doc): The document with wrong labels.
    n_errors (int): The number of labels that were corrupted.
    entities (set[Boundaries]): The boundaries of the wrong entities, before and after.
    relations (set[frozenset[Boundaries]]): The arguments of the wrong relations.
    """

    doc: Doc
    n_errors: int
    entities: set[Boundaries]
    relations: set[frozenset[Boundaries]]


def corrupt(docs: Sequence[Doc], *, share: float, seed: int) -> list[Corruption]:
    """Corrupt a share of the labels of documents.

    An entity gets another type or another boundary, or is removed together with its relations. A
    relation gets another type or direction, or is removed.

    docs (Sequence[Doc]): The documents; they stay as they are.
    share (float): The share of entities and relations to corrupt, from 0 to 1.
    seed (int): The random seed.
    RETURNS (list[Corruption]): The documents with errors, and the errors.
    """
    rng = random.Random(seed)
    labels = [(position, ent) for position, doc in enumerate(docs) for ent in doc.ents]
    items: list[tuple[int, Span | Relation]] = [*labels]
    for position, doc in enumerate(docs):
        for relation in get_relations(doc):
            items.append((position, relation))
    wrong: dict[int, list[Span | Relation]] = {}
    for position, item in rng.sample(items, round(share * len(items))):
        wrong.setdefault(position, []).append(item)
    types = sorted({ent.label_ for _, ent in labels})
    relation_types = sorted(set(chain.from_iterable(map(_list_relation_types, docs))))
    corrupted = []
    for position, doc in enumerate(docs):
        found = _Corrupter(doc, rng, types, relation_types).corrupt(wrong.get(position, []))
        found.doc.user_data[ORIG_ID] = position
        corrupted.append(found)
    return corrupted


def is_hit(suspect: Suspect, corruption: Corruption) -> bool:
    """Check whether a suspect is one of the errors of its document.

    suspect (Suspect): The suspect.
    corruption (Corruption): The errors.
    RETURNS (bool): Whether its entity overlaps a wrong entity, or its relation joins the arguments
        of a wrong relation or has a wrong entity as an argument.
    """
    for item in (suspect.finding.gold, suspect.finding.predicted):
        if item is not None and _is_wrong(item, corruption):
            return True
    return False


@dataclass
class SuspectSearch:
    """Corrupts a corpus, cross-validates on it and searches for the errors.

    config (Path): The config; its `paths.train` is the corpus.
    overrides (Mapping[str, object]): The settings that all runs change in it, by dotted name.
    output (Path): Folder for the folds, the pipelines and the suspects of each run.
    share (float): The share of labels to corrupt.
    n_folds (int): Number of folds.
    gpu_id (int): The GPU, or -1 for the CPU.
    """

    config: Path
    overrides: Mapping[str, object] = field(default_factory=dict)
    output: Path = Path("training/loop")
    share: float = 0.05
    n_folds: int = 5
    gpu_id: int = -1

    def __call__(self, run: Run, chosen: Overrides) -> RunScores:
        """Search for the errors that a seed makes.

        run (Run): The seed of errors, folds and training.
        chosen (Overrides): Not used.
        RETURNS (RunScores): The precision of the first suspects ("precision@50"), the number of
            errors ("errors"), and the means of F1 over the folds, on corrupted labels.
        """
        loaded = load_config(self.config, overrides=dict(self.overrides), interpolate=True)
        docs = list(read_docbin(loaded["paths"]["train"], Vocab()))
        corrupted = corrupt(docs, share=self.share, seed=run.seed)
        folds, models = self.output / run.name / "folds", self.output / run.name / "models"
        make_folds(folds, [found.doc for found in corrupted], self.n_folds, seed=run.seed)
        settings = {**self.overrides, "system.seed": run.seed}
        found = cross_validate(
            self.config,
            folds,
            models,
            n_folds=self.n_folds,
            resume=True,
            gpu_id=self.gpu_id,
            overrides=settings,
        )
        in_folds, suspects = find_in_folds(folds, [models], min_confidence=0.0)
        write_suspects(self.output / run.name / "suspects.jsonl", in_folds, suspects)
        hits = []
        for suspect in suspects:
            position = in_folds[suspect.position].user_data[ORIG_ID]
            hits.append(is_hit(suspect, corrupted[position]))
        scores = dict(found["mean"])
        for cut in CUTS:
            scores[f"precision@{cut}"] = sum(hits[:cut]) / max(len(hits[:cut]), 1)
        n_errors = sum(errors.n_errors for errors in corrupted)
        return RunScores({**scores, "errors": float(n_errors)}, {})


class _Corrupter:
    """Makes errors in the labels of one document."""

    def __init__(
        self, doc: Doc, rng: random.Random, types: Sequence[str], relation_types: Sequence[str]
    ) -> None:
        self.source = doc
        self.rng = rng
        self.types = types
        self.relation_types = relation_types
        # By the boundaries of the source, in words: start, end, label.
        self.spans: dict[Boundaries, tuple[int, int, str]] = {}
        for ent in doc.ents:
            self.spans[ent.start, ent.end] = ent.start, ent.end, ent.label_
        self.relations: dict[int, tuple[Boundaries, Boundaries, str]] = {}
        for number, (head, tail, label, _) in enumerate(get_relations(doc)):
            self.relations[number] = (head.start, head.end), (tail.start, tail.end), label

    def corrupt(self, wrong: Sequence[Span | Relation]) -> Corruption:
        """Return the document with errors in some of its labels."""
        places = _place_items(self.source)
        entities: set[Boundaries] = set()
        relations: set[frozenset[Boundaries]] = set()
        known = list(get_relations(self.source))
        touched = []
        for item in wrong:
            if isinstance(item, Relation):
                self._corrupt_relation(known.index(item))
                relations.add(frozenset(places[span.start, span.end] for span in item[:2]))
            else:
                self._corrupt_entity((item.start, item.end))
                entities.add(places[item.start, item.end])
                touched.append((item.start, item.end))
        doc = self._build()
        after = _place_items(doc)
        for key in touched:
            if key in self.spans:
                entities.add(after[self.spans[key][:2]])
        return Corruption(doc, len(wrong), entities, relations)

    def _corrupt_entity(self, key: Boundaries) -> None:
        start, end, label = self.spans[key]
        error = self.rng.choice(_ENTITY_ERRORS)
        if error == "boundary" and end - start > 1:
            self.spans[key] = start, end - 1, label
        elif error == "removed" or len(self.types) < 2:
            del self.spans[key]
        else:
            self.spans[key] = start, end, self._choose_other(self.types, label)

    def _corrupt_relation(self, number: int) -> None:
        head, tail, label = self.relations[number]
        error = self.rng.choice(_RELATION_ERRORS)
        if error == "direction":
            self.relations[number] = tail, head, label
        elif error == "removed" or len(self.relation_types) < 2:
            del self.relations[number]
        else:
            self.relations[number] = head, tail, self._choose_other(self.relation_types, label)

    def _choose_other(self, labels: Sequence[str], label: str) -> str:
        return self.rng.choice([other for other in labels if other != label])

    def _build(self) -> Doc:
        doc = copy_words(self.source, self.source.vocab, sentences=True)
        spans = {}
        for key, (start, end, label) in self.spans.items():
            spans[key] = Span(doc, start, end, label=label)
        doc.set_ents(list(spans.values()), default="outside")
        relations = []
        for head, tail, label in self.relations.values():
            if head in spans and tail in spans:
                relations.append((spans[head], spans[tail], label))
        set_relations(doc, relations)
        return doc


def _list_relation_types(doc: Doc) -> list[str]:
    return [relation.label for relation in relation_items(doc)]


def _place_items(doc: Doc) -> dict[Boundaries, Boundaries]:
    """Return the boundaries of entities in characters by their boundaries in words."""
    places = {}
    for ent, item in zip(doc.ents, entity_items(doc), strict=True):
        places[ent.start, ent.end] = item.start, item.end
    return places


def _is_wrong(item: Item, corruption: Corruption) -> bool:
    if isinstance(item, EntityItem):
        return any(start < item.end and item.start < end for start, end in corruption.entities)
    arguments = frozenset({(item.head.start, item.head.end), (item.tail.start, item.tail.end)})
    if arguments in corruption.relations:
        return True
    return _is_wrong(item.head, corruption) or _is_wrong(item.tail, corruption)

"""Gold -> table -> decode returns the gold."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.vocab import Vocab

from spacy_tabcnn.corpora.doccano import doccano_to_docs
from spacy_tabcnn.corpora.files import read_lines
from spacy_tabcnn.labels import MISSING, LabelScheme
from spacy_tabcnn.relations import set_relations
from spacy_tabcnn.sentences import DEFAULT_MAX_LENGTH, Sentences, Windows
from spacy_tabcnn.table.decode import decode_tables
from spacy_tabcnn.table.gold import gold_tables
from spacy_tabcnn.table.logits import TableLogits

SAMPLE = Path(__file__).parents[2] / "assets" / "sample"
VOCAB = Vocab()
ENTITIES, RELATIONS = ["A", "B", "C"], ["r", "s"]


def scheme_of(docs):
    """The labels of documents, with the pairs of types that each relation joins."""
    scheme = LabelScheme()
    for doc in docs:
        for ent in doc.ents:
            scheme.add_entity(ent.label_)
        for head, tail, label, _ in doc._.relations:
            scheme.add_relation(label, [(head.label_, tail.label_)])
    return scheme


def annotation(doc):
    """The entities and relations of a document, in an order of their own."""
    entities = [(ent.start, ent.end, ent.label_) for ent in doc.ents]
    relations = [
        (head.start, head.end, tail.start, tail.end, label)
        for head, tail, label, _ in doc._.relations
    ]
    return entities, sorted(relations)


def decode_gold(doc, scheme, *, max_length=DEFAULT_MAX_LENGTH, **options):
    """Decode logits that say what the gold tables of a document say, and nothing where these are
    silent."""
    example = Example(Doc(doc.vocab, words=[token.text for token in doc]), doc)
    windows = Windows(Sentences.of_docs([doc]), max_length)
    gold, skipped = gold_tables([example], windows, scheme)
    logits = TableLogits(
        certain(gold.tags, scheme.n_tags),
        certain(gold.relations, scheme.n_relations),
        windows,
    )
    (prediction,) = decode_tables(logits, scheme, **options)
    entities = [(ent.start, ent.end, ent.label) for ent in prediction.entities]
    relations = [
        (*entities[relation.head][:2], *entities[relation.tail][:2], relation.label)
        for relation in prediction.relations
    ]
    return (entities, sorted(relations)), skipped


def certain(labels, n_labels):
    """Logits of known labels; of missing ones, logits that would show if they were read."""
    noise = np.random.default_rng(0).normal(scale=20.0, size=(len(labels), n_labels))
    return np.where((labels == MISSING)[:, None], noise, 10.0 * np.eye(n_labels)[labels])


@pytest.fixture(scope="module", params=["train", "dev"])
def sample(request):
    path = SAMPLE / f"{request.param}.jsonl"
    docs, _ = doccano_to_docs(read_lines(path), spacy.blank("en"), source=str(path), strict=True)
    return docs


@pytest.mark.parametrize("options", [{}, {"aggregation": "any"}, {"min_score": 0.5}])
def test_sample_corpus(sample, options):
    scheme = scheme_of(sample)
    all_skipped = Counter()
    for doc in sample:
        found, skipped = decode_gold(doc, scheme, **options)
        assert found == annotation(doc), doc.text
        all_skipped += skipped
    assert not all_skipped


@st.composite
def annotated_docs(draw, max_words=12, max_entities=4):
    """Documents with entities that do not overlap and at most one relation for each pair of
    them."""
    n_words = draw(st.integers(1, max_words))
    bounds = sorted(draw(st.sets(st.integers(0, n_words), max_size=2 * max_entities)))
    bounds = bounds[: len(bounds) // 2 * 2]
    doc = Doc(VOCAB, words=["word"] * n_words)
    doc.set_ents(
        [
            Span(doc, start, end, draw(st.sampled_from(ENTITIES)))
            for start, end in zip(bounds[::2], bounds[1::2], strict=True)
        ]
    )
    relations = []
    for left in range(len(doc.ents)):
        for right in range(left + 1, len(doc.ents)):
            label = draw(st.sampled_from([None, *RELATIONS]))
            if label:
                pair = draw(st.permutations([doc.ents[left], doc.ents[right]]))
                relations.append((*pair, label))
    set_relations(doc, relations)
    return doc


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(annotated_docs())
def test_random_documents(doc):
    for scheme in (LabelScheme(ENTITIES, {label: [] for label in RELATIONS}), scheme_of([doc])):
        found, skipped = decode_gold(doc, scheme)
        assert found == annotation(doc)
        assert not skipped


def test_adjacent_entities():
    """Spans without a word between them stay apart."""
    doc = Doc(VOCAB, words=["a", "b", "c", "d"])
    doc.set_ents([Span(doc, 0, 2, "A"), Span(doc, 2, 3, "A"), Span(doc, 3, 4, "A")])
    set_relations(doc, [(doc.ents[2], doc.ents[0], "r")])
    found, _ = decode_gold(doc, scheme_of([doc]))
    assert found == ([(0, 2, "A"), (2, 3, "A"), (3, 4, "A")], [(3, 4, 0, 2, "r")])


# Windows


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(annotated_docs(max_words=30, max_entities=8), st.integers(2, 12))
def test_random_documents_in_windows(doc, max_length):
    """All entities come back, and all relations but those that are counted."""
    (entities, relations), skipped = decode_gold(doc, scheme_of([doc]), max_length=max_length)
    all_entities, all_relations = annotation(doc)
    assert entities == all_entities
    assert set(relations) <= set(all_relations)
    assert len(relations) + skipped.total() == len(all_relations)
    for head_start, head_end, tail_start, tail_end, label in set(all_relations) - set(relations):
        assert (
            max(head_end, tail_end) - min(head_start, tail_start) > max_length - max_length // 2
        ), label


def test_long_document():
    """A thousand words in windows of forty, with relations over up to twenty."""
    random = np.random.default_rng(0)
    doc = Doc(VOCAB, words=["word"] * 1000)
    starts = np.flatnonzero(random.random(990) < 0.2)
    ends = np.minimum(starts + random.integers(1, 6, len(starts)), np.append(starts[1:], 1000))
    doc.set_ents(
        [
            Span(doc, start, end, str(random.choice(ENTITIES)))
            for start, end in zip(starts, ends, strict=True)
        ]
    )
    pairs = [
        (left, right) for left in doc.ents for right in doc.ents if 0 < right.end - left.start <= 20
    ]
    pairs = [pair for pair in pairs if pair[0].start < pair[1].start and random.random() < 0.3]
    set_relations(
        doc, [(*pair[:: random.choice([1, -1])], str(random.choice(RELATIONS))) for pair in pairs]
    )
    assert len(pairs) > 100
    found, skipped = decode_gold(doc, scheme_of([doc]), max_length=40)
    assert found == annotation(doc)
    assert not skipped

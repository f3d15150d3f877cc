import numpy as np
import pytest
from spacy.tokens import Doc
from spacy.training import Example

from spacy_tabcnn.labels import LabelScheme
from spacy_tabcnn.sentences import Sentences
from spacy_tabcnn.spans.candidates import all_pairs, all_spans
from spacy_tabcnn.spans.decode import decode_spans
from spacy_tabcnn.spans.gold import gold_spans
from spacy_tabcnn.spans.logits import SpanLogits, choose_entities

SCHEME = LabelScheme(["PER", "LOC"], {"LiveIn": [], "Visit": []})


def make_logits(lengths, entities, relations=()):
    """Logits as of a model: of spans {(start, end): (type, probability)}, and of the pairs of the
    best of them {(head span, tail span): probabilities}."""
    spans = all_spans(np.array(lengths), 10)
    probs = np.tile(np.array([0.98, 0.01, 0.01], dtype="float32"), (len(spans), 1))
    for i, (start, end, _) in enumerate(spans.tolist()):
        if (start, end) in entities:
            kind, prob = entities[start, end]
            probs[i] = (1 - prob) / 2
            probs[i, kind] = prob
    logits = np.log(probs)
    best = choose_entities(spans, logits).best
    pairs = all_pairs(spans[best], 256)
    bounds = [tuple(span) for span in spans[best][:, :2].tolist()]
    probs = np.array(
        [dict(relations).get((bounds[h], bounds[t]), (0.01, 0.01)) for h, t in pairs]
    ).reshape(-1, 2)
    relations = np.log(probs / (1 - probs)).astype("float32")
    return SpanLogits(spans, logits, best[pairs], relations, Sentences.of_lengths(lengths))


def decode(logits, doc_lengths, min_score=0.4):
    """Decode logits of sentences that belong to documents of these lengths."""
    lengths = iter(logits.sentences.lengths.tolist())
    by_doc = []
    for doc_length in doc_lengths:
        bounds, end = [], 0
        while end < doc_length:
            bounds.append((end, end + next(lengths)))
            end = bounds[-1][1]
        by_doc.append(bounds)
    logits = logits._replace(sentences=Sentences(by_doc))
    return decode_spans(logits, SCHEME, min_score=min_score)


def test_entities_and_relations():
    relations = {((0, 2), (3, 4)): (0.9, 0.6), ((3, 4), (0, 2)): (0.3, 0.1)}
    (prediction,) = decode(
        make_logits([5], {(0, 2): (1, 0.8), (3, 4): (2, 0.7)}, relations.items()), [5]
    )
    assert [ent[:3] for ent in prediction.entities] == [(0, 2, "PER"), (3, 4, "LOC")]
    assert [ent.score for ent in prediction.entities] == pytest.approx([0.8, 0.7], abs=1e-5)
    assert prediction.best == [0, 1]
    assert [rel[:3] for rel in prediction.relations] == [(0, 1, "LiveIn"), (0, 1, "Visit")]
    assert [rel.score for rel in prediction.relations] == pytest.approx([0.9, 0.6], abs=1e-5)


@pytest.mark.parametrize(
    "min_score, n_relations", [(0.0, 4), (0.2, 3), (0.4, 2), (0.7, 1), (1.0, 0)]
)
def test_min_score(min_score, n_relations):
    relations = {((0, 2), (3, 4)): (0.9, 0.6), ((3, 4), (0, 2)): (0.3, 0.1)}
    logits = make_logits([5], {(0, 2): (1, 0.8), (3, 4): (2, 0.7)}, relations.items())
    assert len(decode(logits, [5], min_score)[0].relations) == n_relations


def test_best_of_overlapping_and_nested_entities():
    """The chosen ones leave no room for less probable ones, however many words these have."""
    entities = {
        (0, 3): (1, 0.7),
        (1, 2): (2, 0.9),
        (2, 4): (1, 0.8),
        (5, 6): (2, 0.5),
        (3, 5): (1, 0.75),
    }
    (prediction,) = decode(make_logits([6], entities), [6])
    assert {ent[:2] for ent in prediction.entities} == set(entities)
    assert [prediction.entities[i][:2] for i in prediction.best] == [(1, 2), (2, 4), (5, 6)]


def test_documents():
    """Two sentences in the first, none in the second; words are counted over each document."""
    relations = {((0, 1), (2, 3)): (0.9, 0.1), ((5, 6), (7, 8)): (0.1, 0.8)}
    entities = {
        (0, 1): (1, 0.9),
        (2, 3): (2, 0.9),
        (3, 4): (2, 0.9),
        (5, 6): (1, 0.9),
        (7, 8): (1, 0.9),
    }
    predictions = decode(make_logits([3, 2, 3], entities, relations.items()), [5, 0, 3])
    assert [ent[:3] for ent in predictions[0].entities] == [
        (0, 1, "PER"),
        (2, 3, "LOC"),
        (3, 4, "LOC"),
    ]
    assert [rel[:3] for rel in predictions[0].relations] == [(0, 1, "LiveIn")]
    assert predictions[1] == ([], [], [])
    assert [ent[:3] for ent in predictions[2].entities] == [(0, 1, "PER"), (2, 3, "PER")]
    assert [rel[:3] for rel in predictions[2].relations] == [(0, 1, "Visit")]


def test_nothing_predicted():
    assert decode(make_logits([3], {}), [3]) == [([], [], [])]
    empty = SpanLogits(
        np.zeros((0, 3), int),
        np.zeros((0, 3), "f"),
        np.zeros((0, 2), int),
        np.zeros((0, 2), "f"),
        Sentences([]),
    )
    assert decode(empty, [0, 0]) == [([], [], [])] * 2


def test_gold_round_trip(make_doc):
    """What is gold, as certain logits of all candidates, is what is decoded."""
    doc = make_doc(
        "Ada of New York met Bob in Rome",
        [(0, 1, "PER"), (2, 4, "LOC"), (5, 6, "PER"), (7, 8, "LOC")],
        [(0, 1, "LiveIn"), (2, 0, "Visit"), (2, 3, "LiveIn"), (2, 3, "Visit")],
    )
    example = Example(Doc(doc.vocab, words=[token.text for token in doc]), doc)
    gold, skipped = gold_spans(
        [example], Sentences.of_docs([doc]), SCHEME, max_width=10, max_length=256
    )
    assert not skipped
    spans = all_spans(np.array([len(doc)]), 10)
    entities = np.where(gold.span_types(spans)[:, None] == np.arange(3), 9.0, -9.0)
    best = choose_entities(spans, entities).best
    pairs = best[all_pairs(spans[best], 256)]
    logits = SpanLogits(
        spans, entities, pairs, 18.0 * gold.labels(spans, pairs) - 9.0, Sentences.of_docs([doc])
    )
    (prediction,) = decode(logits, [len(doc)])
    assert [ent[:3] for ent in prediction.entities] == [
        (ent.start, ent.end, ent.label_) for ent in doc.ents
    ]
    assert sorted(rel[:3] for rel in prediction.relations) == [
        (0, 1, "LiveIn"),
        (2, 0, "Visit"),
        (2, 3, "LiveIn"),
        (2, 3, "Visit"),
    ]

import numpy as np
import pytest
from spacy.tokens import Doc
from spacy.training import Example

from spacy_tabcnn.labels import MISSING, LabelScheme
from spacy_tabcnn.sentences import Sentences
from spacy_tabcnn.spans.candidates import all_spans
from spacy_tabcnn.spans.gold import gold_spans

SCHEME = LabelScheme(["PER", "LOC"], {"LiveIn": [], "Visit": []})
ADA = ("Ada lives in London", [(0, 1, "PER"), (3, 4, "LOC")], [(0, 1, "LiveIn"), (0, 1, "Visit")])


@pytest.fixture
def collect(make_doc):
    def collect(*data, max_width=10, max_length=256, **options):
        docs = [make_doc(*item, **options) for item in data]
        examples = [
            Example(Doc(doc.vocab, words=[token.text for token in doc]), doc) for doc in docs
        ]
        for eg in examples:
            if eg.reference.has_annotation("SENT_START"):
                for token, gold in zip(eg.predicted, eg.reference, strict=True):
                    token.is_sent_start = gold.is_sent_start
        sentences = Sentences.of_docs([eg.predicted for eg in examples])
        return gold_spans(examples, sentences, SCHEME, max_width=max_width, max_length=max_length)

    return collect


def test_gold_of_a_batch(collect):
    gold, skipped = collect(ADA, ("", [], []), ("Rain", None, None), ADA)
    assert gold.spans.tolist() == [[0, 1, 0], [3, 4, 0], [5, 6, 2], [8, 9, 2]]
    assert gold.types.tolist() == [1, 2, 1, 2]
    assert gold.relations.tolist() == [[0, 1, 0], [0, 1, 1], [2, 3, 0], [2, 3, 1]]
    assert gold.is_missing.tolist() == [False] * 4 + [True] + [False] * 4
    assert gold.has_relations.tolist() == [True, False, True]
    assert not skipped


def test_sentences(collect):
    words, _, relations = ADA
    gold, _ = collect(
        (f"Rain . {words}", [(2, 3, "PER"), (5, 6, "LOC")], relations),
        sent_starts=[True, False, True] + [False] * 3,
    )
    assert gold.spans.tolist() == [[2, 3, 1], [5, 6, 1]]
    assert gold.has_relations.tolist() == [True, True]


def test_labels_of_spans(collect):
    gold, _ = collect(ADA, ("Rain", None, None))
    spans = all_spans(np.array([4, 1]), 2)
    types = dict(
        zip(map(tuple, spans[:, :2].tolist()), gold.span_types(spans).tolist(), strict=True)
    )
    assert types.pop((0, 1)) == 1 and types.pop((3, 4)) == 2 and types.pop((4, 5)) == MISSING
    assert set(types.values()) == {0}


def test_labels_of_pairs(collect):
    """By direction; a span that is no entity is in no relation."""
    gold, _ = collect(ADA)
    spans = np.array([[3, 4, 0], [0, 1, 0], [0, 2, 0]])
    pairs = np.array([[0, 1], [1, 0], [2, 0]])
    assert gold.labels(spans, pairs).tolist() == [[0, 0], [1, 1], [0, 0]]


def test_labels_of_pairs_that_are_not_annotated(collect):
    words, entities, _ = ADA
    gold, _ = collect((words, entities, None))
    assert gold.labels(gold.spans, np.array([[0, 1]])).tolist() == [[MISSING, MISSING]]


def test_wide_entities_are_counted(collect):
    gold, skipped = collect(
        ("New York City is in America", [(0, 3, "LOC"), (5, 6, "LOC")], [(0, 1, "Visit")]),
        max_width=2,
    )
    assert gold.spans.tolist() == [[5, 6, 0]]
    assert not gold.is_missing.any()
    assert skipped == {
        "entities of more than 2 words": 1,
        "relations of a span that is not a usable entity": 1,
    }


def test_long_relations_are_counted(collect):
    gold, skipped = collect(ADA, max_length=3)
    assert len(gold.relations) == 0
    assert skipped == {"relations over more than 3 words": 2}

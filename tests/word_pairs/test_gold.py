import numpy as np
import pytest
from spacy.tokens import Doc
from spacy.training import Example

from spacy_tabcnn.labels import LabelScheme
from spacy_tabcnn.sentences import Sentences, Windows
from spacy_tabcnn.word_pairs.cells import CellFinder, list_pairs, list_spans
from spacy_tabcnn.word_pairs.gold import gold_word_pairs

SCHEME = LabelScheme(["PER", "LOC"], {"LiveIn": [], "Visit": []})
ADA = (
    "Ada Lovelace lives in London",
    [(0, 2, "PER"), (4, 5, "LOC")],
    [(0, 1, "LiveIn"), (0, 1, "Visit")],
)


@pytest.fixture
def collect(make_doc):
    """Collect the gold of documents: windows, gold, and the counts of what is left out."""

    def collect(*data, max_length=256, **options):
        docs = [make_doc(*item, **options) for item in data]
        examples = [
            Example(Doc(doc.vocab, words=[token.text for token in doc]), doc) for doc in docs
        ]
        for eg in examples:
            if eg.reference.has_annotation("SENT_START"):
                for token, gold in zip(eg.predicted, eg.reference, strict=True):
                    token.is_sent_start = gold.is_sent_start
        windows = Windows(Sentences.of_docs([eg.predicted for eg in examples]), max_length)
        return windows, *gold_word_pairs(examples, windows, SCHEME)

    return collect


def held(windows, table, list_cells):
    """The cells that hold a label: sentence, positions i and j, label."""
    cells = list_cells(windows)
    columns = (
        windows.sentence_of[cells.window[table.cells]],
        cells.row[table.cells],
        cells.col[table.cells],
        table.labels,
    )
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_gold_of_a_batch(collect):
    windows, gold, skipped = collect(ADA, ("", [], []), ("Rain", [], []), ADA)
    assert held(windows, gold.entities, list_spans) == [
        (0, 0, 1, 0),
        (0, 4, 4, 1),
        (2, 0, 1, 0),
        (2, 4, 4, 1),
    ]
    assert held(windows, gold.relations, list_pairs) == [
        (0, 0, 4, 0),
        (0, 0, 4, 1),
        (2, 0, 4, 0),
        (2, 0, 4, 1),
    ]
    assert held(windows, gold.last_words, list_pairs) == [
        (0, 1, 4, 0),
        (0, 1, 4, 1),
        (2, 1, 4, 0),
        (2, 1, 4, 1),
    ]
    assert not skipped


def test_the_order_of_the_words_is_the_direction(collect):
    windows, gold, _ = collect(
        ("London is home to Ada", [(0, 1, "LOC"), (4, 5, "PER")], [(1, 0, "LiveIn")])
    )
    assert held(windows, gold.relations, list_pairs) == [(0, 4, 0, 0)]


def test_sentences(collect):
    words, entities, relations = ADA
    shifted = [(start + 2, end + 2, label) for start, end, label in entities]
    windows, gold, _ = collect(
        (f"Rain . {words}", shifted, relations), sent_starts=[True, False, True] + [False] * 4
    )
    assert held(windows, gold.entities, list_spans) == [(1, 0, 1, 0), (1, 4, 4, 1)]
    assert held(windows, gold.relations, list_pairs)[0] == (1, 0, 4, 0)


def test_weights_share_a_sentence_among_its_words(collect):
    _, gold, _ = collect(ADA, ("It rained", [], []))
    assert gold.entities.weights.tolist() == pytest.approx([1 / 5] * 15 + [1 / 2] * 3)
    assert gold.relations.weights.tolist() == pytest.approx([1 / 5] * 20 + [1 / 2] * 2)


def test_missing_annotation_weighs_nothing(collect):
    _, gold, _ = collect(("Rain came", None, None), ("Ada sings", [(0, 1, "PER")], None))
    assert gold.entities.weights.tolist() == [0] * 3 + [0.5] * 3
    assert not gold.relations.weights.any()


def test_spans_of_a_word_without_annotation_weigh_nothing(collect):
    """Its entity is of a type that the scheme has, but it goes over a sentence boundary."""
    with_boundary = {"sent_starts": [True, False, True, False]}
    windows, gold, skipped = collect(("a b c d", [(1, 3, "PER")], []), **with_boundary)
    assert skipped == {"entities across sentences": 1}
    spans = list_spans(windows)
    known = [
        (windows.sentence_of[window], i, j)
        for window, i, j in zip(
            *(column[gold.entities.weights > 0] for column in spans), strict=True
        )
    ]
    assert known == [(0, 0, 0), (1, 1, 1)]


@pytest.mark.parametrize("max_length", [4, 6])
def test_windows_that_cannot_hold_an_entity_or_a_relation(collect, max_length):
    words = " ".join("abcdefghijkl")
    data = (words, [(0, 6, "PER"), (8, 9, "LOC"), (11, 12, "LOC")], [(0, 1, "LiveIn")])
    _, gold, skipped = collect(data, max_length=max_length)
    expected = {f"relations across windows (max_length is {max_length})": 1}
    if max_length == 4:
        expected[f"entities across windows (max_length is {max_length})"] = 1
    assert skipped == expected
    assert len(gold.entities.cells) == 3 - (max_length == 4)


def test_each_cell_of_a_sentence_in_windows_weighs_once(collect):
    words = " ".join("abcdefghijkl")
    windows, gold, _ = collect(
        (words, [(3, 5, "PER"), (6, 7, "LOC")], [(0, 1, "LiveIn")]), max_length=6
    )
    spans = list_spans(windows)
    cells = set(zip(spans.row.tolist(), spans.col.tolist(), strict=True))
    assert gold.entities.weights.sum() == pytest.approx(len(cells) / 12)
    assert held(windows, gold.entities, list_spans) == [(0, 3, 4, 0), (0, 6, 6, 1)]
    assert held(windows, gold.relations, list_pairs) == [(0, 3, 6, 0)]
    assert held(windows, gold.last_words, list_pairs) == [(0, 4, 6, 0)]


def test_unknown_labels_are_counted(collect):
    _, gold, skipped = collect(("Ada met Eve", [(0, 1, "PER"), (2, 3, "DATE")], [(0, 1, "Met")]))
    assert skipped == {
        "entities of the unknown type 'DATE'": 1,
        "relations of the unknown type 'Met'": 1,
    }
    assert gold.entities.labels.tolist() == [0]


def test_no_documents(collect):
    windows, gold, skipped = collect()
    assert not skipped and not CellFinder(windows).n_spans
    assert all(
        isinstance(array, np.ndarray) and not len(array) for table in gold for array in table
    )


def test_pairs_of_a_relation_that_cannot_be_represented_weigh_nothing(make_doc):
    entities = [(0, 1, "PER"), (3, 4, "LOC"), (5, 6, "LOC")]
    doc = make_doc("Ada likes New York and Rome", entities, [(1, 0, "LiveIn"), (0, 2, "LiveIn")])
    predicted = Doc(doc.vocab, words=["Ada", "likes", "New York", "and", "Rome"])
    windows = Windows(Sentences.of_docs([predicted]), 256)
    gold, _ = gold_word_pairs([Example(predicted, doc)], windows, SCHEME)
    pairs = list_pairs(windows)
    is_open = gold.relations.weights == 0.0
    found = set(zip(pairs.row[is_open].tolist(), pairs.col[is_open].tolist(), strict=True))
    assert found == {(0, 2), (2, 0)}
    assert held(windows, gold.relations, list_pairs) == [(0, 0, 4, 0)]


def test_a_pair_that_holds_a_relation_is_never_open(make_doc):
    """Not even if a span of another relation, which is no entity, begins with the same word."""
    doc = make_doc("Ada likes New York", [(0, 1, "PER"), (2, 4, "LOC")])
    ada, new_york = doc.ents
    doc._.relations = [(ada, new_york, "LiveIn"), (ada, doc[2:3], "Visit")]
    predicted = Doc(doc.vocab, words=[token.text for token in doc])
    windows = Windows(Sentences.of_docs([predicted]), 256)
    gold, _ = gold_word_pairs([Example(predicted, doc)], windows, SCHEME)
    pairs = list_pairs(windows)
    for table, n_open in ((gold.relations, 1), (gold.last_words, 2)):
        assert (table.weights[table.cells] == 0.25).all()
        is_open = table.weights == 0.0
        found = zip(pairs.row[is_open].tolist(), pairs.col[is_open].tolist(), strict=True)
        assert list(found) == [(0, 2), (2, 0)][-n_open:]


def test_a_nested_table_needs_a_window_for_the_last_words(make_doc):
    doc = make_doc("a b c d e", [(0, 1, "PER"), (3, 5, "LOC")], [(0, 1, "LiveIn")])
    predicted = Doc(doc.vocab, words=[token.text for token in doc])
    windows = Windows(Sentences.of_docs([predicted]), 4)
    across = "relations across windows (max_length is 4)"
    for nested, n_lost in ((False, 0), (True, 1)):
        gold, skipped = gold_word_pairs([Example(predicted, doc)], windows, SCHEME, nested=nested)
        assert skipped[across] == n_lost
        assert len(gold.relations.cells) == 1 - n_lost
        assert len(gold.last_words.cells) == 0

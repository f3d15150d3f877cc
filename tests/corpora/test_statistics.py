import warnings

import spacy
from spacy.training import Example

from spacy_tabcnn.corpora.statistics import RelationKind, count_corpus, summarize

LIVES = RelationKind("LiveIn", "PER", "LOC")


def test_sizes(ann, abroad, make_doc):
    stats = count_corpus([ann, abroad, make_doc([])])
    assert stats.sizes == {
        "documents": 3,
        "documents without words": 1,
        "documents whose doc.ents were never set": 0,
        "documents whose doc._.relations was never set": 0,
        "documents with sentence boundaries": 1,
        "documents of several sentences, without sentence boundaries": 0,
        "sentences": 3,
        "words": 15,
        "entities": 6,
        "relations": 4,
    }


def test_labels_are_counted_with_the_first_document_that_has_them(ann, abroad):
    stats = count_corpus([ann, abroad])
    assert stats.entities.counts == {"PER": 4, "LOC": 2}
    assert stats.relations.counts == {"LiveIn": 3, "Knows": 1}
    assert stats.relations.documents == {"LiveIn": 0, "Knows": 1}


def test_relations_are_counted_by_types_and_order(ann, abroad):
    stats = count_corpus([ann, abroad])
    assert stats.kinds.counts == {LIVES: 3, RelationKind("Knows", "PER", "PER"): 1}
    assert stats.orders.counts[LIVES, True] == 2 and stats.orders.counts[LIVES, False] == 1


def test_lengths_are_in_words(ann, abroad):
    stats = count_corpus([ann, abroad])
    assert stats.sentence_lengths == {5: 1, 7: 1, 3: 1}
    assert stats.entity_lengths == {1: 5, 2: 1}
    assert stats.relation_lengths == {
        4: 2,
        3: 2,
    }  # Ann .. Rome, Ada .. Bob; Bob .. Oslo, Oslo .. He


def test_summaries_are_lengths_that_occur():
    assert summarize({1: 50, 7: 46, 90: 4}) == (1, 7, 90)
    assert summarize({}) == (0, 0, 0)


def test_statistics_are_plain_data(ann):
    data = count_corpus([ann]).to_dict()
    assert data["relation_types"] == [{"label": "LiveIn", "head": "PER", "tail": "LOC", "count": 1}]
    assert data["lengths"]["sentence"] == {"median": 5, "p95": 5, "max": 5}
    assert data["entities"] == {"PER": 1, "LOC": 1} and data["unlearnable"] == {}


def test_what_is_lost_in_any_case_is_counted_once(make_doc):
    entities, sent_starts = [(0, 1, "PER"), (2, 3, "PER")], [1, 0, 0, 1]
    doc = make_doc(
        "Ann met Bob !", entities, [(0, 1, "Met"), (1, 0, "Met")], sent_starts=sent_starts
    )
    stats = count_corpus([doc])
    assert stats.unlearnable.counts.total() == 1
    assert not stats.unlearnable_split.counts


def test_the_component_warns_of_the_same(make_doc):
    """A component that is initialised with the same documents warns of the same counts."""
    doc = make_doc(
        "Ann likes Oslo and all of Norway , Bob does not",
        [(0, 1, "PER"), (2, 3, "LOC"), (6, 7, "LOC"), (8, 9, "PER")],
        [(0, 1, "Likes"), (1, 0, "Likes"), (0, 0, "Likes"), (0, 3, "Knows"), (0, 2, "Likes")],
    )
    nlp = spacy.blank("en")
    nlp.add_pipe(
        "tabcnn",
        config={"max_length": 6, "model": {"tok2vec": {"width": 8}, "head": {"hidden": [8]}}},
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        nlp.initialize(lambda: [Example(nlp.make_doc(doc.text), doc)])
    [message] = [
        str(warning.message) for warning in caught if "cannot learn from" in str(warning.message)
    ]
    counts = count_corpus([doc], max_length=6).unlearnable.counts
    assert counts.total() == 4
    assert message.partition("cannot learn from: ")[2] == "; ".join(
        f"{n} {reason}" for reason, n in counts.items()
    )


def test_running_text_is_found_by_boundaries_or_punctuation(ann, abroad, make_doc):
    text = "Ann lives in Rome . Bob lives in Oslo ."
    assert not count_corpus([ann, make_doc([])]).has_running_text
    assert count_corpus([ann, abroad]).has_running_text
    assert count_corpus([ann, make_doc(text)]).has_running_text
    assert count_corpus([ann, make_doc(text)]).text_counts == (2, 0, 1)

"""Relations and scores follow the characters on which they were set."""

import pytest
import spacy
from spacy.pipeline.functions import merge_entities
from spacy.tokens import Doc, Span
from spacy.vocab import Vocab

from spacy_tabcnn import doc_to_annotation, join_docs
from spacy_tabcnn.relations import has_relations, list_entity_scores, set_entity_scores

from .copies import COPIES, through_bytes, through_docbin

TEXT = "Ada Lovelace Byron moved to New York City . It rained in Rome all day ."


@pytest.fixture
def doc(make_doc):
    starts = [index in (0, 9) for index in range(16)]
    doc = make_doc(
        TEXT,
        [(0, 3, "PER"), (5, 8, "LOC"), (12, 13, "LOC")],
        [(0, 1, "MoveTo"), (2, 1, "Far")],
        sent_starts=starts,
    )
    set_entity_scores(doc, doc.ents, [0.75, 0.5, 0.25])
    return doc


def as_texts(doc):
    return [
        (head.text, head.label_, label, tail.text, tail.label_)
        for head, tail, label, _ in doc._.relations
    ]


def scores_of(doc):
    return {ent.text: ent._.entity_score for ent in doc.ents}


MOVED = ("Ada Lovelace Byron", "PER", "MoveTo", "New York City", "LOC")
FAR = ("Rome", "LOC", "Far", "New York City", "LOC")
SCORES = {"Ada Lovelace Byron": 0.75, "New York City": 0.5, "Rome": 0.25}


# Merged and split words


def test_relations_follow_merged_entities(doc):
    merge_entities(doc)
    assert as_texts(doc) == [MOVED, FAR]
    assert [(rel.head.start, rel.head.end) for rel in doc._.relations] == [(0, 1), (8, 9)]


def test_scores_follow_merged_entities(doc):
    merge_entities(doc)
    assert scores_of(doc) == SCORES


def test_merged_entities_stay_the_same_as_plain_data(doc):
    before = doc_to_annotation(doc)
    assert doc_to_annotation(merge_entities(doc)) == before


def test_relations_follow_words_merged_elsewhere(doc):
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[3:5])
        retokenizer.merge(doc[13:15])
    assert as_texts(doc) == [MOVED, FAR]
    assert scores_of(doc) == SCORES


def test_relations_follow_words_merged_within_an_argument(doc):
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[5:7])
    assert as_texts(doc) == [MOVED, FAR]


def test_relations_follow_split_words(doc):
    with doc.retokenize() as retokenizer:
        retokenizer.split(doc[0], ["A", "da"], heads=[doc[0], doc[0]])
        retokenizer.split(doc[3], ["mov", "ed"], heads=[doc[3], doc[3]])
    assert as_texts(doc) == [MOVED, FAR]
    assert scores_of(doc) == SCORES


def test_an_unlabelled_argument_takes_the_type_of_the_merged_entity(doc):
    doc._.relations = [(doc[0:3], doc[5:8], "MoveTo")]
    assert as_texts(merge_entities(doc)) == [MOVED]


@pytest.mark.parametrize(("start", "end"), [(4, 6), (7, 9), (2, 6), (4, 9)])
def test_an_argument_inside_a_merged_word_is_an_error(doc, start, end):
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[start:end])
    message = (
        r"a relation 'MoveTo' no longer consists of whole words: '[\w ]+' begins or ends inside a "
        r"word of .*Merge or split words before the relations are set"
    )
    with pytest.raises(ValueError, match=message):
        _ = doc._.relations


def test_the_score_of_an_entity_inside_a_merged_word_is_gone(doc):
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[7:9])
    doc.ents = [Span(doc, 0, 3, "PER"), Span(doc, 5, 8, "LOC"), Span(doc, 11, 12, "LOC")]
    assert scores_of(doc) == {"Ada Lovelace Byron": 0.75, "New York City .": None, "Rome": 0.25}
    assert [span.text for span, _ in list_entity_scores(doc)] == ["Ada Lovelace Byron", "Rome"]


def test_relations_can_be_set_after_words_were_merged(doc):
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[4:6])
    doc._.relations = [(doc[0:3], doc[4:7], "MoveTo")]
    assert as_texts(doc) == [("Ada Lovelace Byron", "PER", "MoveTo", "to New York City", "")]


@pytest.mark.parametrize("through", COPIES)
def test_relations_follow_words_merged_after_storage(doc, through):
    other = merge_entities(through(doc))
    assert as_texts(other) == [MOVED, FAR]
    assert scores_of(other) == SCORES


@pytest.mark.parametrize("through", COPIES)
def test_relations_follow_words_merged_before_storage(doc, through):
    other = through(merge_entities(doc))
    assert as_texts(other) == [MOVED, FAR]
    assert scores_of(other) == SCORES


def test_white_space_of_the_text_does_not_matter():
    doc = spacy.blank("en")("  Ada \n lives\tin  Rome  ")
    ada, rome = doc.char_span(2, 5, "PER"), doc.char_span(18, 22, "LOC")
    doc.ents = [ada, rome]
    doc._.relations = [(ada, rome, "LiveIn")]
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[2:5])
    assert as_texts(doc) == [("Ada", "PER", "LiveIn", "Rome", "LOC")]


# Parts of documents


def test_as_doc_leaves_relations_out(doc):
    assert not has_relations(doc[0:9].as_doc())
    assert doc[0:9].as_doc()._.relations == ()


def test_as_doc_with_user_data_keeps_the_relations_inside(doc):
    first, second = (sent.as_doc(copy_user_data=True) for sent in doc.sents)
    assert as_texts(first) == [MOVED]
    assert has_relations(second) and as_texts(second) == []


def test_as_doc_with_user_data_moves_relations(doc):
    part = doc[5:14].as_doc(copy_user_data=True)
    assert as_texts(part) == [FAR]
    assert scores_of(part) == {"New York City": 0.5, "Rome": 0.25}


def test_as_doc_of_all_words_keeps_all(doc):
    assert as_texts(doc[:].as_doc(copy_user_data=True)) == [MOVED, FAR]


def test_as_doc_of_a_part_of_a_part(doc):
    part = doc[3:].as_doc(copy_user_data=True)
    assert as_texts(part[2:12].as_doc(copy_user_data=True)) == [FAR]


def test_a_cut_argument_has_no_relation(doc):
    assert as_texts(doc[1:].as_doc(copy_user_data=True)) == [FAR]
    assert as_texts(doc[:7].as_doc(copy_user_data=True)) == []


def test_a_merged_word_at_a_cut_relation_does_not_matter(doc):
    part = doc[5:10].as_doc(copy_user_data=True)
    with part.retokenize() as retokenizer:
        retokenizer.merge(part[2:4])
    assert part._.relations == ()


def test_a_part_follows_merged_words(doc):
    merge_entities(doc)
    assert as_texts(doc[3:].as_doc(copy_user_data=True)) == [FAR]


def test_a_part_survives_storage(doc):
    part = doc[5:14].as_doc(copy_user_data=True)
    assert as_texts(through_docbin(part)) == [FAR]
    assert as_texts(through_bytes(part)) == [FAR]


# Joined documents


def test_from_docs_moves_relations_and_scores(doc, make_doc):
    before = make_doc("Kim left Rome", [(0, 1, "PER"), (2, 3, "LOC")], [(0, 1, "Left")])
    joined = Doc.from_docs([before, doc, before])
    left = ("Kim", "PER", "Left", "Rome", "LOC")
    assert as_texts(joined) == [left, MOVED, FAR, left]
    assert [ent._.entity_score for ent in joined.ents] == [None, None, 0.75, 0.5, 0.25, None, None]


def test_from_docs_without_white_space_moves_relations():
    docs = [Doc(Vocab(), words=["Ada", "left"], spaces=[True, False])]
    docs.append(Doc(docs[0].vocab, words=["Kim", "left"], spaces=[True, False]))
    for doc in docs:
        doc._.relations = [(doc[0:1], doc[1:2], "R")]
    joined = Doc.from_docs(docs, ensure_whitespace=False)
    assert [rel.head.text for rel in joined._.relations] == ["Ada", "Kim"]


def test_relations_of_from_docs_are_set_if_all_are(doc, make_doc):
    none, unset = make_doc("It snowed .", [], []), make_doc("It snowed .")
    assert has_relations(Doc.from_docs([none, doc, none]))
    for docs in ([doc, unset], [unset, doc], [doc, unset, doc], [unset, unset]):
        assert not has_relations(Doc.from_docs(docs))


def test_from_docs_of_parts_keeps_their_relations(doc):
    parts = [sent.as_doc(copy_user_data=True) for sent in doc.sents]
    assert as_texts(Doc.from_docs(parts)) == [MOVED, FAR]


def test_from_docs_of_parts_in_another_order(doc):
    parts = [sent.as_doc(copy_user_data=True) for sent in doc.sents]
    assert as_texts(Doc.from_docs(parts[::-1])) == [MOVED]


def test_from_docs_of_parts_of_different_documents_may_be_an_error(doc, make_doc):
    before = make_doc("Kim left Rome", [(0, 1, "PER"), (2, 3, "LOC")], [(0, 1, "Left")])
    part = doc[5:].as_doc(copy_user_data=True)
    joined = Doc.from_docs([before, part])
    with pytest.raises(ValueError, match=r"the places of their relations overlap.*span_to_doc"):
        _ = joined._.relations
    assert [label for _, _, label, _ in join_docs([before, part])._.relations] == ["Left", "Far"]


def test_a_joined_document_follows_merged_words(doc):
    joined = merge_entities(Doc.from_docs([doc, doc]))
    assert as_texts(joined) == [MOVED, FAR, MOVED, FAR]


# Other texts


@pytest.mark.parametrize(
    "words",
    [
        "It rained all day .",
        "Bob Lovelace Byron moved to New York City . It rained in Rome all day .",
        "Ada Lovelace Byron moved to New York City . It snowed in Rome all day .",
        "Ada Lovelace Byron moved to New York City . It rained in Oslo all day .",
        "Yesterday Ada Lovelace Byron moved to New York City . It rained in Rome all day .",
        "Ada Lovelace Byron moved to Old York City .",
        "",
    ],
)
def test_relations_of_another_text_are_an_error(doc, make_doc, words):
    other = make_doc(words)
    other.user_data.update(doc.user_data)
    if words:
        with pytest.raises(ValueError, match="the relations were set on another text"):
            _ = other._.relations
    other._.relations = []
    assert other._.relations == () and has_relations(other)


def test_that_there_are_no_relations_is_said_of_one_text(make_doc):
    doc, other = make_doc("It rained .", [], []), make_doc("It snowed .")
    other.user_data.update(doc.user_data)
    with pytest.raises(ValueError, match="the relations were set on another text"):
        _ = other._.relations


def test_scores_of_another_text_are_not_read(doc, make_doc):
    other = make_doc(TEXT.replace("Ada", "Bob"), [(0, 3, "PER"), (5, 8, "LOC")])
    other.user_data.update(doc.user_data)
    assert [ent._.entity_score for ent in other.ents] == [None, 0.5]


def test_user_data_can_be_copied_to_the_same_text_with_other_words(doc):
    other = spacy.blank("en")(TEXT.replace(" .", "."))
    assert other.text != doc.text
    same = Doc(doc.vocab, words=[TEXT[:3], *TEXT[4:].split(" ")])
    same.user_data.update(doc.user_data)
    assert as_texts(same) == [MOVED, FAR]


# The form of version 0.1.0, and damaged data


def set_old_form(doc):
    doc.user_data = {
        "spacy_tabcnn.relations": [[0, 3, "PER", 5, 8, "LOC", "MoveTo", 1.0]],
        "spacy_tabcnn.entity_scores": [[0, 3, "PER", 0.75]],
    }


@pytest.mark.parametrize("through", COPIES)
def test_the_old_form_is_read(doc, through):
    set_old_form(doc)
    other = through(doc)
    assert has_relations(other) and as_texts(other) == [MOVED]
    assert other.ents[0]._.entity_score == 0.75


def test_the_old_form_is_stored_in_the_new_form(doc):
    set_old_form(doc)
    assert has_relations(doc) and doc.ents[0]._.entity_score == 0.75
    merge_entities(doc)
    assert as_texts(doc) == [MOVED] and doc.ents[0]._.entity_score == 0.75


def test_words_that_changed_after_the_old_form_was_stored_are_noticed(doc):
    set_old_form(doc)
    part = doc[2:].as_doc(copy_user_data=True)
    for other in (part, merge_entities(doc)):
        for _ in range(2):
            with pytest.raises(ValueError, match="stored the relations without their characters"):
                _ = other._.relations


def test_setting_replaces_the_old_form(doc):
    set_old_form(doc)
    doc._.relations = []
    assert doc._.relations == ()


def test_the_old_form_without_relations_is_read(doc):
    doc.user_data = {"spacy_tabcnn.relations": []}
    assert has_relations(doc) and doc._.relations == ()


@pytest.mark.parametrize(
    "stored",
    [
        [[0, 30, "PER", 5, 8, "LOC", "MoveTo", 1.0]],
        [[3, 0, "PER", 5, 8, "LOC", "MoveTo", 1.0]],
        [[0, 1.5, "PER", 5, 8, "LOC", "MoveTo", 1.0]],
        [[0, b"", "PER", 5, 8, "LOC", "MoveTo", 1.0]],
        [[0, 3, "PER", 5, 8, "LOC", "MoveTo", "high"]],
        [[0, 3, "PER", 5, 8]],
        [None],
        7,
    ],
)
def test_a_damaged_old_form_is_an_error(doc, stored):
    doc.user_data = {"spacy_tabcnn.relations": stored}
    with pytest.raises(ValueError, match=r"has not the form .* convert the corpus again"):
        _ = doc._.relations


def find_key(doc, name):
    [key] = [key for key in doc.user_data if key[1] == f"spacy_tabcnn.{name}"]
    return key


GOOD = [0, 3, 0, 18, "PER", "Ada Lovelace Byron"]


@pytest.mark.parametrize("merge", [False, True])
@pytest.mark.parametrize(
    "relation",
    [
        7,
        [],
        [GOOD, GOOD, "R"],
        [GOOD, [0, 3], "R", 1.0],
        [GOOD, [5.5, *GOOD[1:]], "R", 1.0],
        [[3, 3, *GOOD[2:]], GOOD, "R", 1.0],
        [GOOD, GOOD, b"R", 1.0],
        [GOOD, GOOD, "R", None],
        [[*GOOD[:5], b""], GOOD, 7, 1.0],
    ],
)
def test_damaged_relations_are_an_error(doc, relation, merge):
    fingerprint, _ = doc.user_data[find_key(doc, "relations")]
    doc.user_data[find_key(doc, "relations")] = [fingerprint, [relation]]
    if merge and relation != [[3, 3, *GOOD[2:]], GOOD, "R", 1.0]:
        merge_entities(doc)
    with pytest.raises(ValueError, match="has not the form that this package writes"):
        _ = doc._.relations


@pytest.mark.parametrize("data", [7, [], [7, []], [["", 1, 2], 7], [["", 1], []], {}])
def test_damaged_data_of_relations_is_an_error(doc, data):
    doc.user_data[find_key(doc, "relations")] = data
    with pytest.raises(ValueError, match="has not the form that this package writes"):
        _ = doc._.relations


@pytest.mark.parametrize("data", [7, [7], [[GOOD]], [[[0, 3], 0.5]], [[[*"abcdef"], 0.5]]])
def test_damaged_scores_are_an_error(doc, data):
    doc.user_data[find_key(doc, "entity_scores")] = data
    with pytest.raises(ValueError, match="has not the form that this package writes"):
        _ = doc.ents[0]._.entity_score


# Processes


def test_relations_follow_merged_entities_in_other_processes(doc, fork_guard):
    nlp = spacy.blank("en")
    nlp.add_pipe("merge_entities")
    docs = list(nlp.pipe([doc, doc], n_process=2))
    assert [as_texts(other) for other in docs] == [[MOVED, FAR]] * 2
    assert [scores_of(other) for other in docs] == [SCORES] * 2


def test_stored_data_is_small(make_doc):
    doc = make_doc("word " * 1000, [], [])
    assert len(doc.to_bytes()) - len(doc.copy().to_bytes(exclude=["user_data"])) < 250


def test_spans_are_not_stored(doc):
    assert all(not isinstance(value, Span) for value in doc.user_data.values())

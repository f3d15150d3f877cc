import pytest

from spacy_tabcnn.corpora.spert import docs_to_spert, spert_to_docs
from spacy_tabcnn.corpora.tablert import docs_to_tablert, tablert_to_docs

CURIE = {
    "tokens": ["Marie", "Skłodowska", "Curie", "left", "Warsaw", "."],
    "tags": ["B-Peop", "I-Peop", "L-Peop", "O", "U-Loc", "O"],
    "relations": [{"head": 0, "tail": 1, "type": "Live_In"}],
    "orig_id": 5,
}


def test_tags_become_entities_and_relations_refer_to_them(nlp):
    [doc], report = tablert_to_docs([CURIE], nlp)
    assert [(ent.text, ent.label_) for ent in doc.ents] == [
        ("Marie Skłodowska Curie", "Peop"),
        ("Warsaw", "Loc"),
    ]
    assert [(rel.head.text, rel.tail.text, rel.label) for rel in doc._.relations] == [
        ("Marie Skłodowska Curie", "Warsaw", "Live_In")
    ]
    assert doc.user_data["orig_id"] == 5
    assert report.n_docs == 1


def test_round_trip_is_identical(nlp):
    sentences = [CURIE, {"tokens": [], "tags": [], "relations": []}]
    docs, _ = tablert_to_docs(sentences, nlp)
    assert docs_to_tablert(docs)[0] == sentences


def test_adjacent_entities_stay_apart(nlp):
    sentence = {"tokens": list("abcd"), "tags": ["B-X", "L-X", "U-X", "U-X"], "relations": []}
    docs, _ = tablert_to_docs([sentence], nlp)
    assert [(ent.start, ent.end) for ent in docs[0].ents] == [(0, 2), (2, 3), (3, 4)]
    assert docs_to_tablert(docs)[0] == [sentence]


def test_a_label_may_hold_a_hyphen(nlp):
    sentence = {
        "tokens": ["severe", "rash"],
        "tags": ["B-Adverse-Effect", "L-Adverse-Effect"],
        "relations": [],
    }
    [doc], _ = tablert_to_docs([sentence], nlp)
    assert doc.ents[0].label_ == "Adverse-Effect"


def test_spert_to_tablert_and_back_is_identical(nlp):
    spert = [
        {
            "tokens": ["Ada", "met", "Charles", "Babbage"],
            "entities": [
                {"type": "Peop", "start": 0, "end": 1},
                {"type": "Peop", "start": 2, "end": 4},
            ],
            "relations": [
                {"type": "Knows", "head": 1, "tail": 0},
                {"type": "Knows", "head": 0, "tail": 1},
            ],
            "orig_id": "a1",
        }
    ]
    tablert, _ = docs_to_tablert(spert_to_docs(spert, nlp)[0])
    assert tablert[0]["tags"] == ["U-Peop", "O", "B-Peop", "L-Peop"]
    assert docs_to_spert(tablert_to_docs(tablert, nlp)[0])[0] == spert


@pytest.mark.parametrize(
    "tags,message",
    [
        (["O"], "1 tags for 3 tokens"),
        (
            ["O", "S-Loc", "O"],
            "tag 1 is 'S-Loc'; expected O, or B-, I-, L- or U- followed by a label",
        ),
        (["O", "U-", "O"], "tag 1 is 'U-'; expected O"),
        (["O", "Loc", "O"], "tag 1 is 'Loc'; expected O"),
        (["O", "O-Loc", "O"], "tag 1 is 'O-Loc'; expected O"),
        (["O", None, "O"], "tag 1 is None; expected O"),
        (["O", "I-Loc", "L-Loc"], "tag 1 is 'I-Loc' where O, B- or U- must follow"),
        (["L-Loc", "O", "O"], "tag 0 is 'L-Loc' where O, B- or U- must follow"),
        (["B-Loc", "O", "O"], "tag 1 is 'O' where I-Loc or L-Loc must follow"),
        (["B-Loc", "L-Org", "O"], "tag 1 is 'L-Org' where I-Loc or L-Loc must follow"),
        (["B-Loc", "U-Loc", "O"], "tag 1 is 'U-Loc' where I-Loc or L-Loc must follow"),
        (["O", "B-Loc", "I-Loc"], "the last tag is 'I-Loc'; expected L-Loc"),
    ],
)
def test_broken_tags_are_refused(nlp, tags, message):
    sentence = {"tokens": ["a", "b", "c"], "tags": tags, "relations": [], "orig_id": 9}
    with pytest.raises(ValueError, match=rf"a\.json, sentence 0 \(orig_id 9\): {message}"):
        tablert_to_docs([sentence], nlp, source="a.json")


def test_a_relation_must_refer_to_an_entity(nlp):
    broken = {**CURIE, "relations": [{"head": 0, "tail": 2, "type": "Live_In"}]}
    with pytest.raises(
        ValueError, match="relation 0: its tail is entity 2, but the sentence has 2 entities"
    ):
        tablert_to_docs([broken], nlp)

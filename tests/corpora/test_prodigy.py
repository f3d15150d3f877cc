import copy
import json

import pytest

from spacy_tabcnn.corpora.conversion import Reason
from spacy_tabcnn.corpora.gold import UNSET_ENTITIES, UNSET_RELATIONS
from spacy_tabcnn.corpora.options import ReadingOptions
from spacy_tabcnn.corpora.prodigy import docs_to_prodigy, prodigy_to_docs
from spacy_tabcnn.relations import has_relations

# As written by `prodigy db-out` after `rel.manual`, save for hashes and colours.
TASK = {
    "text": "Sasha Smith's  lab 🧪 in Łódź",
    "tokens": [
        {"text": "Sasha", "start": 0, "end": 5, "id": 0, "ws": True, "disabled": False},
        {"text": "Smith", "start": 6, "end": 11, "id": 1, "ws": False, "disabled": False},
        {"text": "'s", "start": 11, "end": 13, "id": 2, "ws": True, "disabled": False},
        {"text": " ", "start": 14, "end": 15, "id": 3, "ws": False, "disabled": False},
        {"text": "lab", "start": 15, "end": 18, "id": 4, "ws": True, "disabled": False},
        {"text": "🧪", "start": 19, "end": 20, "id": 5, "ws": True, "disabled": False},
        {"text": "in", "start": 21, "end": 23, "id": 6, "ws": True, "disabled": False},
        {"text": "Łódź", "start": 24, "end": 28, "id": 7, "ws": False, "disabled": False},
    ],
    "spans": [
        {
            "text": "Sasha Smith",
            "start": 0,
            "end": 11,
            "token_start": 0,
            "token_end": 1,
            "label": "PERSON",
        },
        {
            "text": "Łódź",
            "start": 24,
            "end": 28,
            "token_start": 7,
            "token_end": 7,
            "label": "PLACE",
        },
    ],
    "relations": [
        {
            "head": 1,
            "child": 7,
            "head_span": {
                "start": 0,
                "end": 11,
                "token_start": 0,
                "token_end": 1,
                "label": "PERSON",
            },
            "child_span": {
                "start": 24,
                "end": 28,
                "token_start": 7,
                "token_end": 7,
                "label": "PLACE",
            },
            "label": "WORKED_IN",
        }
    ],
    "answer": "accept",
    "meta": {"id": 17},
}
BARE_RELATION = {"head": 1, "child": 7, "label": "WORKED_IN"}


def line(**changes):
    """TASK as a line of JSON, with some fields replaced; None removes one."""
    return json.dumps(
        {key: value for key, value in {**TASK, **changes}.items() if value is not None}
    )


def relations_of(doc):
    return [(head.text, tail.text, label) for head, tail, label, _ in doc._.relations]


def test_tokens_entities_and_relations_are_those_of_the_file(nlp):
    [doc], report = prodigy_to_docs([line()], nlp)
    assert doc.text == TASK["text"]
    assert [token.text for token in doc] == [token["text"] for token in TASK["tokens"]]
    assert [(ent.text, ent.label_) for ent in doc.ents] == [
        ("Sasha Smith", "PERSON"),
        ("Łódź", "PLACE"),
    ]
    assert relations_of(doc) == [("Sasha Smith", "Łódź", "WORKED_IN")]
    assert doc.user_data["orig_id"] == 17
    assert not report.dropped and not report.ignored


def test_written_tasks_are_as_prodigy_writes_them(nlp):
    docs, _ = prodigy_to_docs([line()], nlp)
    [written], report = docs_to_prodigy(docs)
    expected = copy.deepcopy(TASK)
    for token in expected["tokens"]:
        del token["disabled"]
    assert json.loads(written) == expected
    assert (report.n_docs, report.entities.total(), report.relations.total()) == (1, 2, 1)


def test_only_accepted_tasks_are_read_and_the_others_counted(nlp):
    answers = ["reject", "accept", "ignore", None, "reject"]
    docs, report = prodigy_to_docs([line(answer=answer) for answer in answers], nlp, strict=True)
    assert len(docs) == report.n_docs == 2
    assert report.ignored == {"rejected documents": 2, "ignored documents": 1}


def test_arguments_without_spans_are_found_by_their_last_token(nlp):
    [doc], _ = prodigy_to_docs([line(relations=[BARE_RELATION])], nlp)
    assert relations_of(doc) == [("Sasha Smith", "Łódź", "WORKED_IN")]


@pytest.mark.parametrize(
    "changes,what",
    [
        ({"child": 6}, "'Smith' -> 'in'"),
        ({"child": 4, "child_span": {"start": 15, "end": 18, "label": None}}, "'Smith' -> 'lab'"),
    ],
)
def test_relations_between_words_that_are_no_entities_are_left_out(nlp, changes, what):
    [doc], report = prodigy_to_docs(
        [line(relations=[{**BARE_RELATION, **changes}])], nlp, source="a.jsonl"
    )
    assert doc._.relations == ()
    assert report.examples == {
        Reason.NOT_AN_ENTITY: f"a.jsonl, line 1, relation 0: WORKED_IN ({what})"
    }


def test_a_task_in_which_nothing_was_marked(nlp):
    [doc], report = prodigy_to_docs([line(spans=None, relations=None)], nlp)
    assert doc._.relations == () and not doc.ents and not report.dropped


@pytest.mark.parametrize(
    "fields",
    [
        {"_view_id": "classification", "label": "SPAM"},
        {"_view_id": "choice", "options": [{"id": 1, "text": "yes"}], "accept": [1]},
        {"_view_id": "text"},
        {"label": "SPAM"},
    ],
)
def test_interfaces_without_spans_leave_entities_unset(nlp, fields):
    [doc], report = prodigy_to_docs([line(spans=None, relations=None, **fields)], nlp)
    assert not doc.has_annotation("ENT_IOB") and report.noted[UNSET_ENTITIES] == 1


@pytest.mark.parametrize("view", ["ner_manual", "spans_manual", "relations", "blocks"])
def test_interfaces_with_spans_say_that_nothing_was_marked(nlp, view):
    [doc], _ = prodigy_to_docs([line(spans=None, relations=None, _view_id=view)], nlp)
    assert doc.has_annotation("ENT_IOB") and not doc.ents


def test_relations_of_a_task_without_the_key_stay_unset(nlp):
    docs, report = prodigy_to_docs([line(relations=None), line(relations=[]), line()], nlp)
    assert [has_relations(doc) for doc in docs] == [False, True, True]
    assert report.noted == {UNSET_RELATIONS: 1}
    assert not report.dropped


def test_a_task_without_tokens_gets_the_tokens_of_the_pipeline(nlp):
    [doc], report = prodigy_to_docs([line(tokens=None)], nlp)
    assert [token.text for token in doc] == [token.text for token in nlp.make_doc(TASK["text"])]
    assert relations_of(doc) == [("Sasha Smith", "Łódź", "WORKED_IN")]
    assert not report.dropped


def test_offsets_may_count_utf16(nlp):
    def move(item):
        return {**item, "start": item["start"] + 1, "end": item["end"] + 1}

    place = move(TASK["spans"][1])
    tokens = [*TASK["tokens"][:6], *map(move, TASK["tokens"][6:])]
    relation = {**TASK["relations"][0], "child_span": place}
    text = line(tokens=tokens, spans=[TASK["spans"][0], place], relations=[relation])
    [doc], _ = prodigy_to_docs([text], nlp, options=ReadingOptions(utf16=True))
    assert relations_of(doc) == [("Sasha Smith", "Łódź", "WORKED_IN")]


SESSIONS = [
    line(_input_hash=5, _session_id="places-ada"),
    line(_input_hash=5, _session_id="places-bo", spans=TASK["spans"][:1], relations=[]),
    line(_input_hash=5, _session_id="places-ada"),
    line(_input_hash=6, _annotator_id="bo"),
]


@pytest.mark.parametrize(
    "annotator,n_entities,ignored",
    [
        ("first", [2, 2, 2], {"further annotations of a task": 1}),
        ("all", [2, 1, 2, 2], {}),
        ("bo", [1, 2], {"annotations of other annotators": 2}),
        ("places-bo", [1], {"annotations of other annotators": 3}),
    ],
)
def test_tasks_of_several_annotators(nlp, annotator, n_entities, ignored):
    docs, report = prodigy_to_docs(SESSIONS, nlp, options=ReadingOptions(annotator=annotator))
    assert [len(doc.ents) for doc in docs] == n_entities
    assert report.ignored == ignored


@pytest.mark.parametrize(
    "changes,message",
    [
        (
            {"tokens": None, "relations": [BARE_RELATION]},
            "relation 0: head is token 1, but the task has no tokens",
        ),
        (
            {"tokens": [*TASK["tokens"][:3], *TASK["tokens"][4:]]},
            "the tokens do not spell the text from 'lab' on",
        ),
        ({"tokens": TASK["tokens"][:7]}, "the tokens do not spell the text"),
        ({"answer": "maybe"}, "the answer is 'maybe'; expected accept, reject or ignore"),
        ({"spans": [{"start": 0, "end": 99, "label": "X"}]}, "span 0: it spans characters 0 to 99"),
        ({"spans": [{"start": 0, "end": 5}]}, "span 0: the field 'label' is missing"),
        (
            {"relations": [{**BARE_RELATION, "child": 8}]},
            "relation 0: child is token 8, but the text has 8 tokens",
        ),
        ({"relations": [{"label": "X"}]}, "relation 0: the field 'head' is missing"),
    ],
)
def test_malformed_tasks_name_the_place(nlp, changes, message):
    with pytest.raises(ValueError, match=rf"a\.jsonl, line 1.*{message}"):
        prodigy_to_docs([line(**changes)], nlp, source="a.jsonl")

import warnings

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.training import Example
from spacy.vocab import Vocab

from spacy_tabcnn.corpora.problems import CorpusProblem, find_problems
from spacy_tabcnn.corpora.statistics import CorpusCase, count_corpus
from spacy_tabcnn.documents import copy_words


def problems(train, dev=None, *, min_count=0, max_length=256):
    """The findings on corpora of these documents."""
    stats = [
        None if docs is None else count_corpus(docs, max_length=max_length) for docs in (train, dev)
    ]
    return find_problems(*stats, min_count=min_count)


def cases_of(findings, what):
    [finding] = [finding for finding in findings if finding.what == what]
    return finding.cases


def test_a_clean_corpus_has_no_problems(ann, make_doc):
    other = make_doc("Bob lives in Oslo .", [(0, 1, "PER"), (3, 4, "LOC")], [(0, 1, "LiveIn")])
    assert problems([ann], [other]) == []


@pytest.mark.parametrize(
    "entities,missing",
    [(None, ["entity", "relation"]), ([(0, 1, "PER")], ["relation"]), ([], ["entity", "relation"])],
)
def test_training_needs_entities_and_relations(make_doc, entities, missing):
    findings = problems([make_doc("Ann lives .", entities, [])])
    assert [finding.what for finding in findings if finding.level == "error"] == [
        f"no {name}" for name in missing
    ]


def test_no_entity_in_dev_is_a_warning(ann, make_doc):
    findings = problems([ann], [make_doc("Hello .", [], [])])
    assert [(f.level, f.corpus, f.what) for f in findings] == [
        ("warning", "dev", "no entity"),
        ("warning", "dev", "no relation"),
    ]


@pytest.mark.parametrize(
    "annotation,name",
    [
        ((None, []), "documents whose doc.ents were never set"),
        (([], None), "documents whose doc._.relations was never set"),
    ],
)
def test_missing_annotation_is_not_an_empty_one(ann, make_doc, annotation, name):
    missing = make_doc("Ann left .", *annotation)
    findings = problems([ann, make_doc("Bob left .", [], []), missing])
    assert cases_of(findings, "not all annotated") == [CorpusCase(name, 1, 2)]


def test_documents_without_words(ann, make_doc):
    findings = problems([ann, make_doc([]), make_doc([])])
    assert cases_of(findings, "not all annotated") == [CorpusCase("documents without words", 2, 1)]


@pytest.mark.parametrize(
    "relations,reason",
    [
        ([(0, 1, "LiveIn"), (0, 1, "BornIn")], "relations beyond the first of a pair of entities"),
        ([(0, 1, "Near"), (1, 0, "Near")], "relations beyond the first of a pair of entities"),
        ([(0, 1, "LiveIn"), (0, 0, "LiveIn")], "relations of an entity with itself"),
    ],
)
def test_what_a_table_cannot_hold(ann, make_doc, relations, reason):
    doc = make_doc("Ann likes Oslo .", [(0, 1, "PER"), (2, 3, "LOC")], relations)
    [finding] = [finding for finding in problems([ann, doc]) if finding.what == "cannot be learned"]
    assert finding.cases == [CorpusCase(reason, 1, 1)]
    assert finding.level == "warning" and finding.advice


@pytest.mark.parametrize("name", ["spert", "pfn"])
def test_other_components_learn_several_relations_of_a_pair(make_doc, name):
    """As the advice says."""
    relations = [(0, 1, "LiveIn"), (0, 1, "BornIn"), (1, 0, "Near")]
    doc = make_doc("Ann likes Oslo .", [(0, 1, "PER"), (2, 3, "LOC")], relations)
    [finding] = [finding for finding in problems([doc]) if finding.what == "cannot be learned"]
    assert "train `spert` or `pfn`" in finding.advice
    nlp = spacy.blank("en")
    component = nlp.add_pipe(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp.initialize(lambda: [Example(copy_words(doc, nlp.vocab), doc)])
    assert list(component.label_scheme.relations) == ["BornIn", "LiveIn", "Near"]


def test_relations_of_spans_that_are_no_entities(ann):
    ann = ann.copy()
    ann._.relations = [(ann[0:1], ann[2:4], "LiveIn")]
    findings = problems([ann])
    assert cases_of(findings, "cannot be learned") == [
        CorpusCase("relations of a span that is not a usable entity", 1, 0)
    ]


@pytest.mark.parametrize("max_length,n_lost", [(3, 1), (4, 0)])
def test_relations_beyond_the_windows(ann, max_length, n_lost):
    findings = problems([ann], max_length=max_length)
    lost = [case for finding in findings for case in finding.cases]
    assert (
        lost
        == [CorpusCase(f"relations across windows (max_length is {max_length})", 1, 0)] * n_lost
    )
    assert all("max_length" in finding.advice for finding in findings)


def test_relations_across_sentences_are_lost_only_where_documents_are_split(abroad):
    findings = problems([abroad])
    [finding] = [finding for finding in findings if finding.what.startswith("cannot be learned")]
    assert finding.what == "cannot be learned if documents are split into their sentences"
    assert finding.cases == [CorpusCase("relations across sentences", 1, 0)]


def test_entities_across_sentences(make_doc):
    doc = make_doc(
        "Mr. Smith left Oslo",
        [(0, 2, "PER"), (3, 4, "LOC")],
        [(0, 1, "Left")],
        sent_starts=[1, 1, 0, 0],
    )
    cases = [case for finding in problems([doc]) for case in finding.cases]
    assert cases == [
        CorpusCase("entities across sentences", 1, 0),
        CorpusCase("relations of a span that is not a usable entity", 1, 0),
    ]


def test_every_reason_has_advice(ann, abroad, make_doc):
    odd = make_doc("a b c d", [(0, 1, "X"), (3, 4, "X")], [(0, 1, "R"), (1, 0, "R"), (0, 0, "R")])
    no_entity = ann.copy()
    no_entity._.relations = [(no_entity[0:1], no_entity[2:4], "LiveIn")]
    split = make_doc("a b c", [(0, 2, "X"), (2, 3, "X")], [(0, 1, "R")], sent_starts=[1, 1, 0])
    findings = problems([odd, no_entity, abroad, split], max_length=3)
    reasons = {
        finding.cases[0].name
        for finding in findings
        if finding.what.startswith("cannot be learned")
    }
    assert len(reasons) == 6
    assert all(finding.advice for finding in findings)


@pytest.mark.parametrize("min_count,rare", [(1, []), (2, ["Knows"]), (4, ["LiveIn", "Knows"])])
def test_rare_labels(ann, abroad, min_count, rare):
    findings = problems([ann, abroad], min_count=min_count)
    found = [
        f for f in findings if f.what == f"relation labels with fewer than {min_count} examples"
    ]
    assert [case.name for finding in found for case in finding.cases] == rare


def test_a_rare_label_is_shown_with_its_count_and_place(ann, abroad):
    cases = cases_of(
        problems([ann, abroad], min_count=3), "entity labels with fewer than 3 examples"
    )
    assert cases == [CorpusCase("LOC", 2, 0)]


def test_labels_and_types_that_train_lacks(ann, make_doc):
    dev = make_doc(
        "Bob knows UNO in Oslo",
        [(0, 1, "PER"), (2, 3, "ORG"), (4, 5, "LOC")],
        [(0, 1, "Knows"), (1, 2, "LiveIn")],
    )
    findings = problems([ann], [ann, dev])
    assert cases_of(findings, "entity labels that train lacks") == [CorpusCase("ORG", 1, 1)]
    assert cases_of(findings, "relation labels that train lacks") == [CorpusCase("Knows", 1, 1)]
    # Knows is no second time among these: its label says it all.
    assert cases_of(findings, "relations between types that their label never joins in train") == [
        CorpusCase("LiveIn (ORG -> LOC)", 1, 1)
    ]


def test_what_only_train_has_is_no_problem(ann, abroad, make_doc):
    dev = make_doc("Bob lives in Oslo .", [(0, 1, "PER"), (3, 4, "LOC")], [(0, 1, "LiveIn")])
    assert [finding for finding in problems([ann, abroad], [dev]) if finding.corpus == "dev"] == []


def test_repeated_texts(ann, abroad, make_doc):
    unlike = make_doc("ann lives in rome .", [], [])
    train = [abroad, ann, unlike, ann, make_doc([]), make_doc([]), ann]
    case = CorpusCase("same words as document 1 of train", 2, 3)
    findings = problems(train, [unlike, abroad])
    assert cases_of(findings, "repeated texts") == [case]
    assert cases_of(findings, "texts that train has too") == [
        CorpusCase("same words as document 2 of train", 1, 0),
        CorpusCase("same words as document 0 of train", 1, 1),
    ]


def test_texts_are_compared_across_vocabularies(ann):
    [copy] = DocBin(docs=[ann], store_user_data=True).get_docs(Vocab())
    assert cases_of(problems([ann], [copy]), "texts that train has too")


def test_a_label_in_both_directions_between_two_types(ann, make_doc):
    swapped = make_doc("Oslo houses Bob", [(0, 1, "LOC"), (2, 3, "PER")], [(0, 1, "LiveIn")])
    [finding] = problems([ann, ann.copy(), swapped])[1:]
    assert finding.level == "hint" and finding.corpus == "train"
    assert finding.cases == [
        CorpusCase("LiveIn (LOC -> PER)", 1, 2),
        CorpusCase("LiveIn (PER -> LOC)", 2, 0),
    ]


def test_a_label_in_both_orders_between_entities_of_one_type(make_doc):
    words, entities = "Ann met Bob", [(0, 1, "PER"), (2, 3, "PER")]
    right, left = (
        make_doc(words, entities, [(0, 1, "Met")]),
        make_doc("Eve met Kim", entities, [(1, 0, "Met")]),
    )
    assert problems([right]) == []
    [finding] = problems([right, left])
    assert isinstance(finding, CorpusProblem) and finding.level == "hint"
    assert finding.cases == [
        CorpusCase("Met (PER -> PER), head first", 1, 0),
        CorpusCase("Met (PER -> PER), tail first", 1, 1),
    ]

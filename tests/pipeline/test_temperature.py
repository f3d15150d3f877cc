"""The temperature of scores, for each component."""

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span

from spacy_tabcnn.evaluation.decisions import decide
from spacy_tabcnn.evaluation.suspects import find_suspects
from spacy_tabcnn.predictions import Temperature, soften
from spacy_tabcnn.relations import set_relations

from .test_find_threshold import PIPES, trained

__all__ = ["trained"]  # a fixture

SETTING = {"entities": 3.0, "relations": 2.0}


def load(folder, name, **settings):
    return spacy.load(folder / "model", config={"components": {name: settings}})


def annotate(nlp, folder):
    docs = DocBin().from_disk(folder / "dev.spacy").get_docs(nlp.vocab)
    return list(nlp.pipe(doc.text for doc in docs))


def entities(docs):
    """All entities with their scores; those that overlap are in doc.spans."""
    spans = [span for doc in docs for group in (doc.ents, *doc.spans.values()) for span in group]
    return [(str(span), span.label_) for span in spans], [span._.entity_score for span in spans]


def relations(docs):
    found = [relation for doc in docs for relation in doc._.relations]
    facts = [(str(head), str(tail), label) for head, tail, label, _ in found]
    return facts, [relation.score for relation in found]


def test_a_temperature_changes_scores_and_no_prediction(trained):
    name, folder = trained
    before = annotate(load(folder, name), folder)
    after = annotate(load(folder, name, temperature=SETTING, min_score=0.0), folder)
    kept = annotate(load(folder, name, min_score=0.0), folder)
    for read, others, temperature in ((entities, before, 3.0), (relations, kept, 2.0)):
        facts, scores = read(others)
        assert facts
        assert read(after)[0] == facts
        assert read(after)[1] == pytest.approx(soften(np.array(scores), temperature))


def test_a_threshold_is_compared_with_the_softened_score(trained):
    name, folder = trained
    nlp = load(folder, name, temperature=SETTING, min_score=0.0)
    _, scores = relations(annotate(nlp, folder))
    for threshold in scores:
        nlp.get_pipe(name).cfg["min_score"] = threshold
        kept = [score for score in scores if score >= threshold]
        assert relations(annotate(nlp, folder))[1] == pytest.approx(kept)


@pytest.mark.parametrize("settings", [{}, {"min_score": 0.6}])
def test_softened_scores_take_their_thresholds_with_them(trained, settings, tmp_path):
    name, folder = trained
    nlp = load(folder, name, **settings)
    before = annotate(nlp, folder)
    changed = nlp.get_pipe(name).soften_scores(Temperature(**SETTING))
    nlp.get_pipe_config(name).update(changed)
    nlp.to_disk(tmp_path)
    for again in (nlp, spacy.load(tmp_path)):
        after = annotate(again, folder)
        assert entities(after)[0] == entities(before)[0]
        assert relations(after)[0] == relations(before)[0]
        expected = soften(np.array(relations(before)[1]), 2.0)
        assert relations(after)[1] == pytest.approx(expected)


def test_temperatures_add_up(trained):
    name, folder = trained
    pipe = load(folder, name, temperature=SETTING).get_pipe(name)
    pipe.soften_scores(Temperature(2.0, 0.5))
    assert pipe.temperature == (6.0, 1.0)


def test_what_to_annotate_next_does_not_depend_on_the_temperature(trained):
    name, folder = trained
    plain, softened = load(folder, name), load(folder, name, temperature=SETTING)
    (first,) = decide(plain, [plain.make_doc("Ada Lovelace lived in London .")])
    (second,) = decide(softened, [softened.make_doc("Ada Lovelace lived in London .")])
    assert second.relations == first.relations
    assert second.entities.score(0, 2, "PER") == first.entities.score(0, 2, "PER")
    assert softened.get_pipe(name).temperature == Temperature(**SETTING)


def test_what_to_annotate_next_has_the_same_entities_if_their_threshold_is_softened(trained):
    name, folder = trained
    thresholds = {"entity_threshold": 0.9} if name == "pfn" else {}
    plain, softened = (load(folder, name, **thresholds) for _ in range(2))
    softened.get_pipe(name).soften_scores(Temperature(**SETTING))
    text = "Ada Lovelace lived in London ."
    (first,), (second,) = (decide(nlp, [nlp.make_doc(text)]) for nlp in (plain, softened))
    assert second.relations.keys() == first.relations.keys()
    assert second.entities.decisions == pytest.approx(first.entities.decisions, abs=1e-6)


@pytest.mark.parametrize("name", PIPES)
@pytest.mark.parametrize("setting", [{"entities": 0.0}, {"relation": 1.0}])
def test_other_temperatures_are_refused(name, setting):
    with pytest.raises(ValueError, match=f"Component '{name}': temperature"):
        spacy.blank("en").add_pipe(name, config={"temperature": setting})


def test_suspects_are_the_same_for_softened_scores(trained):
    name, folder = trained
    found = []
    for settings in ({}, {"temperature": SETTING, "min_score": 0.3}):
        nlp = load(folder, name, **settings)
        gold = list(DocBin().from_disk(folder / "dev.spacy").get_docs(nlp.vocab))
        for doc in gold:
            doc.set_ents([])
            set_relations(doc, [])
        words = (Doc(nlp.vocab, words=[token.text for token in doc]) for doc in gold)
        decisions = [[one] for one in decide(nlp, words)]
        suspects = find_suspects(gold, decisions, min_confidence=0.0)
        found.append([one.confidence for one in suspects if one.finding.unit == "entity"])
    assert found[0] and found[0] == pytest.approx(found[1])


@pytest.mark.parametrize("kept", ["given", "merge"])
def test_given_entities_stay_as_they_are_in_decisions(trained, kept):
    name, folder = trained
    if name == "spert":
        pytest.skip("predicts all entities by itself")
    nlp = load(folder, name, entities=kept, temperature=SETTING)
    docs = list(DocBin().from_disk(folder / "dev.spacy").get_docs(nlp.vocab))
    expected, others = [], []
    for doc in docs:
        copies = []
        for _ in range(2):
            copy = Doc(nlp.vocab, words=[token.text for token in doc])
            copy.set_ents([Span(copy, ent.start, ent.end, ent.label_) for ent in doc.ents[:1]])
            copies.append(copy)
        expected.append(nlp(copies[0]))
        others.append(copies[1])
    found = [decisions.doc for decisions in decide(nlp, others)]
    for read in (entities, relations):
        assert read(found)[0] == read(expected)[0]
        assert read(found)[1] == pytest.approx(read(expected)[1])

import random

import pytest
from spacy import registry
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.vocab import Vocab

from spacy_tabcnn.evaluation.scoring import make_relation_scorer, score_relations
from spacy_tabcnn.relations import set_relations

VOCAB = Vocab()
PREFIXES = ("ents", "rels_boundaries", "rels_strict")
WORDS = ["Ada", "Lovelace", "lived", "in", "London", "with", "Charles", "Babbage", "."]
ADA, LONDON, CHARLES = (0, 2, "PER"), (4, 5, "LOC"), (6, 8, "PER")


def make_doc(words, entities, relations=None, *, spaces=None):
    """Make a document of entities `(start, end, label)` and relations `(head, tail, label)`."""
    doc = Doc(VOCAB, words=words, spaces=spaces)
    if entities is not None:
        doc.set_ents([Span(doc, start, end, label=label) for start, end, label in entities])
    if relations is not None:
        spans = [
            (Span(doc, *head[:2], label=head[2]), Span(doc, *tail[:2], label=tail[2]), label)
            for head, tail, label in relations
        ]
        set_relations(doc, spans)
    return doc


def make_example(predicted, gold, words=WORDS):
    return Example(make_doc(words, *predicted), make_doc(words, *gold))


def figures(scores, prefix):
    return tuple(scores[f"{prefix}_{figure}"] for figure in "prf")


@pytest.fixture
def gold():
    return [ADA, LONDON, CHARLES], [(ADA, LONDON, "Live_In"), (ADA, CHARLES, "Knows")]


def test_registered():
    scorer = registry.scorers.get("spacy-tabcnn.relation_scorer.v1")()
    assert scorer is make_relation_scorer()


def test_perfect_prediction(gold):
    scores = score_relations([make_example(gold, gold)])
    for prefix in PREFIXES:
        assert figures(scores, prefix) == figures(scores, f"{prefix}_macro") == (1.0, 1.0, 1.0)
    assert scores["ents_per_type"] == {
        "LOC": {"p": 1.0, "r": 1.0, "f": 1.0},
        "PER": {"p": 1.0, "r": 1.0, "f": 1.0},
    }
    assert scores["rels_strict_per_type"].keys() == {"Knows", "Live_In"}


def test_wrong_entity_type_counts_for_entities_and_strict_relations(gold):
    london = (4, 5, "ORG")
    predicted = [ADA, london, CHARLES], [(ADA, london, "Live_In"), (ADA, CHARLES, "Knows")]
    scores = score_relations([make_example(predicted, gold)])
    assert figures(scores, "ents") == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert figures(scores, "rels_boundaries") == (1.0, 1.0, 1.0)
    assert figures(scores, "rels_strict") == (0.5, 0.5, 0.5)
    assert scores["rels_strict_per_type"]["Live_In"] == {"p": 0.0, "r": 0.0, "f": 0.0}


def test_wrong_entity_boundary_counts_everywhere(gold):
    london = (3, 5, "LOC")
    predicted = [ADA, london, CHARLES], [(ADA, london, "Live_In"), (ADA, CHARLES, "Knows")]
    scores = score_relations([make_example(predicted, gold)])
    assert figures(scores, "rels_boundaries") == figures(scores, "rels_strict") == (0.5, 0.5, 0.5)


def test_relation_of_a_missed_entity_is_a_miss(gold):
    predicted = [ADA, CHARLES], [(ADA, CHARLES, "Knows")]
    scores = score_relations([make_example(predicted, gold)])
    assert figures(scores, "ents") == pytest.approx((1.0, 2 / 3, 0.8))
    assert figures(scores, "rels_strict") == pytest.approx((1.0, 0.5, 2 / 3))


def test_swapped_relation_is_wrong(gold):
    predicted = gold[0], [(LONDON, ADA, "Live_In"), (ADA, CHARLES, "Knows")]
    scores = score_relations([make_example(predicted, gold)])
    assert figures(scores, "rels_boundaries") == (0.5, 0.5, 0.5)


def test_wrong_relation_label_is_one_miss_and_one_spurious_type(gold):
    predicted = gold[0], [(ADA, LONDON, "Born_In"), (ADA, CHARLES, "Knows")]
    scores = score_relations([make_example(predicted, gold)])
    assert figures(scores, "rels_boundaries") == (0.5, 0.5, 0.5)
    assert figures(scores, "rels_boundaries_macro") == pytest.approx((1 / 3, 1 / 3, 1 / 3))


def test_duplicate_prediction_counts_once(gold):
    entities, relations = gold
    scores = score_relations([make_example((entities, relations * 2), gold)])
    assert figures(scores, "rels_strict") == (1.0, 1.0, 1.0)


def test_document_without_predicted_relations_is_all_misses(gold):
    scores = score_relations([make_example((gold[0], None), gold)])
    assert figures(scores, "rels_boundaries") == (0.0, 0.0, 0.0)
    assert scores["rels_boundaries_per_type"].keys() == {"Knows", "Live_In"}


def test_macro_is_the_mean_over_types_and_micro_over_items():
    # Four of four PER are found, none of the one LOC, and an ORG is invented.
    persons = [(index, index + 1, "PER") for index in range(4)]
    scores = score_relations([make_example(([*persons, (5, 6, "ORG")],), ([*persons, LONDON],))])
    assert figures(scores, "ents") == pytest.approx((0.8, 0.8, 0.8))
    assert figures(scores, "ents_macro") == pytest.approx((1 / 3, 1 / 3, 1 / 3))


def test_tokenisation_may_differ():
    predicted = make_doc(
        ["Mr", ".", "O'", "Brien"], [(0, 2, "TITLE"), (2, 4, "PER")], spaces=[0, 1, 0, 0]
    )
    reference = make_doc(["Mr.", "O", "'Brien"], [(0, 1, "TITLE"), (1, 3, "PER")], spaces=[1, 0, 0])
    assert predicted.text == reference.text
    assert figures(score_relations([Example(predicted, reference)]), "ents") == (1.0, 1.0, 1.0)


def test_prediction_that_fits_no_gold_tokens_is_spurious():
    mister, period, brien = (0, 1, "TITLE"), (1, 2, "TITLE"), (2, 3, "PER")
    predicted = make_doc(
        ["Mr", ".", "Brien"], [period, brien], [(mister, brien, "Of")], spaces=[0, 1, 0]
    )
    mister, brien = (0, 1, "TITLE"), (1, 2, "PER")
    reference = make_doc(["Mr.", "Brien"], [mister, brien], [(mister, brien, "Of")])
    scores = score_relations([Example(predicted, reference)])
    assert figures(scores, "ents") == (0.5, 0.5, 0.5)
    assert figures(scores, "rels_strict") == (0.0, 0.0, 0.0)


def test_whitespace_may_differ():
    relation = ((1, 2, "PER"), (3, 4, "LOC"), "Live_In")
    predicted = make_doc(["\n", "Ada", "  ", "London"], [relation[0], relation[1]], [relation])
    relation = ((0, 1, "PER"), (1, 2, "LOC"), "Live_In")
    reference = make_doc(["Ada", "London"], [relation[0], relation[1]], [relation])
    scores = score_relations([Example(predicted, reference)])
    for prefix in PREFIXES:
        assert figures(scores, prefix) == (1.0, 1.0, 1.0)


def test_unannotated_reference_is_left_out(gold):
    entities_only = make_example(gold, (gold[0], None))
    unannotated = make_example(gold, (None, None))
    scores = score_relations([entities_only, unannotated])
    assert figures(scores, "ents") == (1.0, 1.0, 1.0)
    for prefix in ("rels_boundaries", "rels_strict"):
        assert figures(scores, prefix) == figures(scores, f"{prefix}_macro") == (None, None, None)
        assert scores[f"{prefix}_per_type"] is None


def test_reference_without_relations_makes_predictions_spurious(gold):
    scores = score_relations([make_example(gold, gold), make_example(gold, (gold[0], []))])
    assert figures(scores, "rels_strict") == pytest.approx((0.5, 1.0, 2 / 3))


def test_nothing_to_find_and_nothing_found():
    scores = score_relations([make_example(([], []), ([], []))])
    for prefix in PREFIXES:
        assert figures(scores, prefix) == figures(scores, f"{prefix}_macro") == (0.0, 0.0, 0.0)
        assert scores[f"{prefix}_per_type"] == {}


def test_no_examples():
    assert set(score_relations([]).values()) == {None}


def test_settings_of_the_component_are_accepted(gold):
    assert score_relations([make_example(gold, gold)], threshold=0.5)["ents_f"] == 1.0


def random_annotation(rng):
    """Draw entities that do not overlap, and relations between them, as plain tuples."""
    bounds = sorted(rng.sample(range(len(WORDS) + 1), 6))
    entities = [
        (*pair, rng.choice(["PER", "LOC", "ORG"]))
        for pair in zip(bounds[::2], bounds[1::2], strict=True)
    ]
    pairs = [(head, tail) for head in entities for tail in entities if head != tail]
    return entities, [(*pair, rng.choice(["Live_In", "Knows"])) for pair in rng.sample(pairs, 3)]


def corrupted(rng, entities, relations):
    """Predict with mistakes: entities missed, of wrong type or boundaries, and relations swapped,
    relabelled, missed, invented or doubled."""
    entities, relations = list(entities), list(relations)
    for old in list(entities):
        start, end, label = old
        kind = rng.choice(["right", "right", "missed", "type", "boundary"])
        if kind == "missed":
            entities.remove(old)
            relations = [relation for relation in relations if old not in relation[:2]]
        elif kind != "right":
            shorter = (start, end - 1) if end - start > 1 else (start, end)
            new = (start, end, rng.choice(["ORG", "MISC"])) if kind == "type" else (*shorter, label)
            entities[entities.index(old)] = new
            relations = [
                tuple(new if part == old else part for part in relation) for relation in relations
            ]
    changed = []
    for head, tail, label in relations:
        kind = rng.choice(["right", "right", "missed", "swapped", "label", "doubled"])
        if kind == "swapped":
            head, tail = tail, head
        elif kind == "label":
            label = rng.choice(["Works_For", "Knows"])
        changed += [(head, tail, label)] * {"missed": 0, "doubled": 2}.get(kind, 1)
    if len(entities) > 1 and rng.random() < 0.3:
        changed.append((*rng.sample(entities, 2), "Invented"))
    return entities, changed


def brute_force(predicted, gold):
    """Score two lists of `(document, what, type)` by looking up every item in the other list."""

    def prf(label):
        found = {item for item in predicted if label in (None, item[2])}
        wanted = {item for item in gold if label in (None, item[2])}
        precision = sum(item in wanted for item in found) / len(found) if found else 0.0
        recall = sum(item in found for item in wanted) / len(wanted) if wanted else 0.0
        fscore = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        return precision, recall, fscore

    types = {item[2] for item in predicted + gold}
    per_type = {label: prf(label) for label in types}
    macro = tuple(
        sum(values[index] for values in per_type.values()) / len(types) for index in range(3)
    )
    return prf(None), macro, per_type


@pytest.mark.parametrize("seed", range(5))
def test_figures_equal_a_brute_force_recomputation(seed):
    rng = random.Random(seed)
    examples = []
    items = {prefix: ([], []) for prefix in PREFIXES}
    for number in range(30):
        gold = random_annotation(rng)
        predicted = corrupted(rng, *gold)
        examples.append(make_example(predicted, gold))
        for side, (entities, relations) in enumerate((predicted, gold)):
            items["ents"][side].extend((number, ent[:2], ent[2]) for ent in entities)
            items["rels_strict"][side].extend(
                (number, (head, tail), label) for head, tail, label in relations
            )
            items["rels_boundaries"][side].extend(
                (number, (head[:2], tail[:2]), label) for head, tail, label in relations
            )
    scores = score_relations(examples)
    for prefix in PREFIXES:
        micro, macro, per_type = brute_force(*items[prefix])
        assert figures(scores, prefix) == pytest.approx(micro)
        assert figures(scores, f"{prefix}_macro") == pytest.approx(macro)
        assert scores[f"{prefix}_per_type"].keys() == per_type.keys()
        for label, expected in per_type.items():
            assert tuple(scores[f"{prefix}_per_type"][label].values()) == pytest.approx(expected)
    # The mistakes above are no mere formality.
    assert 0.1 < scores["rels_strict_f"] < scores["rels_boundaries_f"] < scores["ents_f"] < 0.9

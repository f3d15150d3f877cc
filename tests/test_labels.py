import itertools
import re

import numpy as np
import pytest

from spacy_tabcnn.labels import (
    NO_RELATION,
    OUTSIDE,
    LabelScheme,
    count_entity_types,
    count_relation_types,
    find_spans,
    tag_rules,
)

ENTITIES = ["PER", "LOC", "ORG"]
RELATIONS = ["LiveIn", "WorkFor"]


@pytest.fixture
def scheme():
    return LabelScheme.from_dict({"entities": ENTITIES, "relations": RELATIONS})


# Indices


def test_sizes(scheme):
    assert (scheme.n_tags, scheme.n_relations) == (1 + 4 * 3, 1 + 2 * 2)


def test_sizes_of_an_empty_scheme():
    assert (LabelScheme().n_tags, LabelScheme().n_relations) == (1, 1)


def test_tags_of_one_word(scheme):
    assert [scheme.span_tags(label, 1) for label in ENTITIES] == [[4], [8], [12]]


def test_tags_of_several_words(scheme):
    assert scheme.span_tags("LOC", 2) == [5, 7]
    assert scheme.span_tags("LOC", 4) == [5, 6, 6, 7]


def test_every_tag_but_outside_belongs_to_one_type(scheme):
    tags = [
        tag
        for label in ENTITIES
        for tag in {*scheme.span_tags(label, 1), *scheme.span_tags(label, 3)}
    ]
    assert sorted([OUTSIDE, *tags]) == list(range(scheme.n_tags))


def test_tags_have_names(scheme):
    assert [
        scheme.tag_name(tag)
        for tag in [OUTSIDE, *scheme.span_tags("LOC", 3), *scheme.span_tags("PER", 1)]
    ] == [
        "O",
        "B-LOC",
        "I-LOC",
        "L-LOC",
        "U-PER",
    ]


def test_relation_labels_and_indices_are_inverse(scheme):
    directed = [(label, head_first) for label in RELATIONS for head_first in (True, False)]
    indices = [
        scheme.relation_index(label, head_first=head_first) for label, head_first in directed
    ]
    assert indices == [index for index in range(scheme.n_relations) if index != NO_RELATION]
    assert [scheme.relation_label(index) for index in indices] == directed


# Tag sequences


@pytest.mark.parametrize("lengths", [(1,), (2,), (1, 1), (3, 2, 1), (1, 4)])
@pytest.mark.parametrize("gap", [0, 2])
def test_tagged_spans_inverts_span_tags(scheme, lengths, gap):
    spans, tags = [], [OUTSIDE] * gap
    for length, label in zip(lengths, itertools.cycle(ENTITIES)):
        spans.append((len(tags), len(tags) + length, label))
        tags += scheme.span_tags(label, length) + [OUTSIDE] * gap
    assert scheme.tagged_spans(np.array(tags)) == spans


def test_find_spans_leaves_out_what_is_no_whole_entity():
    """Against a regular expression, on every sequence of up to four tags, missing ones included."""
    names = ["? ", "O ", "Ba", "Ia", "La", "Ua", "Bb", "Ib", "Lb", "Ub"]  # of the tags -1 to 8
    whole = re.compile(r"U[ab]|Ba(Ia)*La|Bb(Ib)*Lb")
    for length in range(5):
        for tags in itertools.product(range(-1, 9), repeat=length):
            text = "".join(names[tag + 1] for tag in tags)
            matches = [*whole.finditer(text)]
            starts, ends, types = find_spans(np.array(tags, dtype=np.int64))
            assert starts.tolist() == [match.start() // 2 for match in matches], text
            assert ends.tolist() == [match.end() // 2 for match in matches], text
            assert types.tolist() == ["ab".index(match.group()[1]) for match in matches], text


def test_find_spans_ends_an_entity_with_its_sentence():
    tags = np.array([1, 3, 1, 3, 4])  # B L B L U
    assert find_spans(tags, np.array([0, 0, 1, 2, 2])).starts.tolist() == [0, 4]


def test_label_counts_are_inverse(scheme):
    assert count_entity_types(scheme.n_tags) == len(ENTITIES)
    assert count_relation_types(scheme.n_relations) == len(RELATIONS)


def test_no_spans_in_an_empty_sentence(scheme):
    assert scheme.tagged_spans(np.zeros(0, dtype=np.int64)) == []


def test_transitions_accept_exactly_the_valid_sequences():
    """Against a regular expression for BILOU, on every sequence of up to four tags of two types."""
    scheme = LabelScheme(["a", "b"])
    names = ["O ", "Ba ", "Ia ", "La ", "Ua ", "Bb ", "Ib ", "Lb ", "Ub "]
    bilou = re.compile(r"(O |U[ab] |Ba (Ia )*La |Bb (Ib )*Lb )*")
    may_start, may_follow, may_end = tag_rules(scheme.n_tags)[:3]
    for length in range(1, 5):
        for tags in itertools.product(range(scheme.n_tags), repeat=length):
            accepted = (
                may_start[tags[0]]
                and all(may_follow[pair] for pair in itertools.pairwise(tags))
                and may_end[tags[-1]]
            )
            assert accepted == bool(bilou.fullmatch("".join(names[tag] for tag in tags))), tags


def test_valid_sequences_and_entities_are_one_to_one():
    scheme = LabelScheme(["a", "b"])
    may_start, may_follow, may_end = tag_rules(scheme.n_tags)[:3]
    valid = [
        tags
        for tags in itertools.product(range(scheme.n_tags), repeat=4)
        if may_start[tags[0]]
        and may_end[tags[-1]]
        and all(may_follow[p] for p in itertools.pairwise(tags))
    ]
    for tags in valid:
        rebuilt = [OUTSIDE] * 4
        for start, end, label in scheme.tagged_spans(np.array(tags)):
            rebuilt[start:end] = scheme.span_tags(label, end - start)
        assert tuple(rebuilt) == tags


def test_rules_tell_the_words_of_each_entity():
    """In every valid sequence, the entities that the rules begin and continue are those that the
    tags hold."""
    scheme = LabelScheme(["a", "b"])
    rules = tag_rules(scheme.n_tags)
    for tags in itertools.product(range(scheme.n_tags), repeat=4):
        if (
            rules.may_start[tags[0]]
            and rules.may_end[tags[-1]]
            and rules.may_follow[tags[:-1], tags[1:]].all()
        ):
            goes_on = [False, *rules.continues[tags[:-1], tags[1:]]]
            spans = scheme.tagged_spans(np.array(tags))
            assert np.flatnonzero(rules.in_entity[list(tags)]).tolist() == [
                i for s in spans for i in range(*s[:2])
            ]
            assert np.flatnonzero(goes_on).tolist() == [
                i for s in spans for i in range(s[0] + 1, s[1])
            ]


# Type constraints


def test_relation_without_pairs_joins_any_types(scheme):
    assert scheme.allowed_relations().shape == (4, 4, 5)
    assert scheme.allowed_relations().all()


def test_pairs_bind_both_directions(scheme):
    scheme.add_relation("LiveIn", [("PER", "LOC")])
    allowed = scheme.allowed_relations()
    head_first, tail_first = (
        scheme.relation_index("LiveIn", head_first=value) for value in (True, False)
    )
    person, place = ENTITIES.index("PER"), ENTITIES.index("LOC")
    assert np.argwhere(allowed[:, :, head_first]).tolist() == [[person, place]]
    assert np.argwhere(allowed[:, :, tail_first]).tolist() == [[place, person]]


def test_pairs_bind_their_relation_only(scheme):
    scheme.add_relation("LiveIn", [("PER", "LOC")])
    allowed = scheme.allowed_relations()
    assert allowed[:, :, NO_RELATION].all()
    assert allowed[
        :, :, [scheme.relation_index("WorkFor", head_first=value) for value in (True, False)]
    ].all()


def test_unknown_types_are_bound_by_the_pairs_too(scheme):
    scheme.add_relation("LiveIn", [("PER", "LOC")])
    allowed = [scheme.allowed_relations()[pair] for pair in ((-1, ENTITIES.index("LOC")), (-1, -1))]
    for labels in allowed:
        assert not labels[scheme.relation_index("LiveIn", head_first=True)]
        assert labels[scheme.relation_index("WorkFor", head_first=True)]


def test_pair_of_an_unknown_type_allows_nothing(scheme):
    scheme.add_relation("LiveIn", [("PER", "PLANET")])
    assert not scheme.allowed_relations()[
        :, :, scheme.relation_index("LiveIn", head_first=True)
    ].any()


# Adding labels


def test_adding_tells_what_is_new(scheme):
    assert scheme.add_entity("DATE") and not scheme.add_entity("DATE")
    assert scheme.add_relation("BornOn") and not scheme.add_relation("BornOn")
    assert scheme.entities == [*ENTITIES, "DATE"]
    assert list(scheme.relations) == [*RELATIONS, "BornOn"]


def test_adding_a_relation_again_adds_its_new_pairs():
    scheme = LabelScheme()
    scheme.add_relation("LiveIn", [("PER", "LOC"), ("PER", "LOC")])
    scheme.add_relation("LiveIn", [("ORG", "LOC"), ("PER", "LOC")])
    assert scheme.relations == {"LiveIn": [("PER", "LOC"), ("ORG", "LOC")]}


@pytest.mark.parametrize("label", ["", None, 3, b"PER"])
def test_labels_are_non_empty_strings(label):
    for add in (LabelScheme().add_entity, LabelScheme().add_relation):
        with pytest.raises(ValueError, match="is not a non-empty string"):
            add(label)


def test_schemes_do_not_share_their_lists():
    LabelScheme().add_entity("PER")
    assert LabelScheme().entities == []


# Plain data


def test_dict_round_trip(scheme):
    scheme.add_relation("LiveIn", [("PER", "LOC")])
    data = scheme.to_dict()
    assert data == {"entities": ENTITIES, "relations": {"LiveIn": [["PER", "LOC"]], "WorkFor": []}}
    assert LabelScheme.from_dict(data) == scheme


def test_dict_is_a_copy(scheme):
    data = scheme.to_dict()
    data["entities"].append("DATE")
    data["relations"]["LiveIn"].append(["PER", "LOC"])
    assert scheme == LabelScheme.from_dict({"entities": ENTITIES, "relations": RELATIONS})


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"entities": ["PER"]},
        {"entities": "PER", "relations": ["LiveIn"]},
        {"entities": ["PER"], "relations": "LiveIn"},
        {"entities": [""], "relations": []},
        {"entities": ["PER"], "relations": {"LiveIn": ["PER", "LOC"]}},
        {"entities": ["PER"], "relations": {"LiveIn": [["PER"]]}},
        {"entities": ["PER"], "relations": {"LiveIn": ["AB", "CD"]}},
        {"entities": None, "relations": []},
        ["PER", "LOC"],
    ],
)
def test_other_data_is_refused(data):
    with pytest.raises(ValueError, match=r'is not of the form \{"entities"'):
        LabelScheme.from_dict(data)

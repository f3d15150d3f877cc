import random
from itertools import count, islice, pairwise

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy import registry
from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.batchers import configure_minibatch
from spacy.training.loop import create_train_batches
from spacy.vocab import Vocab
from thinc.api import Config, compounding

from spacy_tabcnn.training.batchers import batch_by_length

NAME = "spacy-tabcnn.batch_by_length.v1"
VOCAB = Vocab()
# Many short sentences and a few long ones, as in most corpora.
SKEWED = [min(round(random.Random(i).lognormvariate(3.0, 0.7)), 120) for i in range(300)]

CONFIG = f"""
[batcher]
@batchers = "{NAME}"
max_words = 300
max_cells = 2000
buffer = 4
seed = 1

[batcher.size]
@schedules = "compounding.v1"
start = 2
stop = 8
compound = 1.5
"""


@pytest.fixture
def resolve(monkeypatch):
    """Resolve the batcher of a config, also if the installation is older than the entry point."""
    monkeypatch.setattr(registry.batchers, "entry_points", False)
    registry.batchers(NAME, func=batch_by_length)
    return lambda text: registry.resolve(Config().from_str(text))["batcher"]


def make_example(n_words, sent_starts=None):
    doc = Doc(VOCAB, words=["word"] * n_words, sent_starts=sent_starts)
    return Example(doc, doc.copy())


def make_examples(lengths):
    return [make_example(length) for length in lengths]


def ids(batches):
    """Batches in a form that can be compared and sorted."""
    return [[id(eg) for eg in batch] for batch in batches]


def flat(batches):
    return sorted(eg for batch in ids(batches) for eg in batch)


def padded_words(batch):
    return len(batch) * max(len(eg) for eg in batch)


def cells(batch):
    return sum(len(eg) * (len(eg) + 1) // 2 for eg in batch)


def padding(batches):
    return sum(map(padded_words, batches)) / sum(len(eg) for batch in batches for eg in batch)


LENGTHS = st.lists(st.integers(0, 40), max_size=60)
ARGUMENTS = st.fixed_dictionaries(
    {
        "size": st.integers(1, 9),
        "max_words": st.sampled_from([0, 1, 20, 80]),
        "max_cells": st.sampled_from([0, 1, 100, 900]),
        "buffer": st.integers(1, 5),
        "seed": st.integers(0, 3),
    }
)
PROPERTY = settings(max_examples=60, deadline=None, derandomize=True, database=None)


@PROPERTY
@given(LENGTHS, ARGUMENTS)
def test_every_example_comes_exactly_once(lengths, arguments):
    examples = make_examples(lengths)
    batches = list(batch_by_length(**arguments)(examples))
    assert flat(batches) == sorted(map(id, examples))
    assert all(batches)


@PROPERTY
@given(LENGTHS, ARGUMENTS)
def test_batches_keep_to_size_and_bounds(lengths, arguments):
    for batch in batch_by_length(**arguments)(make_examples(lengths)):
        assert len(batch) <= arguments["size"]
        if len(batch) > 1:
            assert not 0 < arguments["max_words"] < padded_words(batch)
            assert not 0 < arguments["max_cells"] < cells(batch)


@PROPERTY
@given(LENGTHS, st.integers(1, 9), st.integers(1, 5))
def test_without_bounds_the_batches_are_as_many_and_as_large_as_those_of_spacy(
    lengths, size, buffer
):
    examples = make_examples(lengths)
    batches = batch_by_length(size=size, buffer=buffer)(examples)
    assert sorted(map(len, batches)) == sorted(map(len, configure_minibatch(size)(examples)))


@PROPERTY
@given(LENGTHS, ARGUMENTS)
def test_one_seed_gives_the_same_batches_at_every_pass(lengths, arguments):
    examples = make_examples(lengths)
    one, same = batch_by_length(**arguments), batch_by_length(**arguments)
    for _ in range(3):
        assert ids(one(examples)) == ids(same(examples))


def test_another_seed_gives_other_batches():
    examples = make_examples(SKEWED)
    assert ids(batch_by_length(size=8, seed=1)(examples)) != ids(
        batch_by_length(size=8, seed=2)(examples)
    )


def test_second_pass_over_an_unchanged_stream_gives_other_batches():
    examples = make_examples(SKEWED)
    batcher = batch_by_length(size=8)
    first, second = ({frozenset(batch) for batch in ids(batcher(examples))} for _ in range(2))
    assert len(first & second) < len(first) / 4


def test_batches_come_in_no_order_of_length():
    batches = list(batch_by_length(size=8, buffer=100)(make_examples(SKEWED)))
    longest = [max(len(eg) for eg in batch) for batch in batches]
    rises = sum(left < right for left, right in pairwise(longest))
    assert len(longest) / 4 < rises < 3 * len(longest) / 4


def test_less_padding_than_batches_in_the_order_of_the_stream():
    examples = make_examples(SKEWED)
    in_order = padding(list(configure_minibatch(8)(examples)))
    by_buffer = [
        padding(list(batch_by_length(size=8, buffer=buffer)(examples))) for buffer in (2, 8, 32)
    ]
    assert by_buffer == sorted(by_buffer, reverse=True)
    assert by_buffer[0] < in_order
    assert by_buffer[-1] - 1 < (in_order - 1) / 4


def test_batch_beyond_a_bound_is_halved_until_it_fits():
    examples = make_examples([10] * 8)
    assert [len(batch) for batch in batch_by_length(size=8, max_words=80)(examples)] == [8]
    assert [len(batch) for batch in batch_by_length(size=8, max_words=79)(examples)] == [4, 4]
    assert [len(batch) for batch in batch_by_length(size=8, max_cells=8 * 55)(examples)] == [8]
    assert [len(batch) for batch in batch_by_length(size=8, max_cells=4 * 55 - 1)(examples)] == [
        2,
        2,
        2,
        2,
    ]


@pytest.mark.parametrize("bound", ["max_words", "max_cells"])
def test_example_beyond_a_bound_makes_a_batch_of_its_own(bound):
    batches = list(batch_by_length(size=4, **{bound: 50})(make_examples([2, 100, 2, 2])))
    assert [100] in [[len(eg) for eg in batch] for batch in batches]
    assert sum(map(len, batches)) == 4


def test_cells_are_those_of_the_sentences():
    one = [make_example(10) for _ in range(2)]
    halves = [make_example(10, sent_starts=[i % 5 == 0 for i in range(10)]) for _ in range(2)]
    batcher = batch_by_length(size=2, max_cells=2 * (15 + 15))
    assert [len(batch) for batch in batcher(one)] == [1, 1]
    assert [len(batch) for batch in batcher(halves)] == [2]


def test_short_rest_of_the_stream_holds_any_length():
    examples = make_examples(range(1, 12))
    batcher = batch_by_length(size=5, buffer=3)
    short = {len(batch[0]) for _ in range(20) for batch in batcher(examples) if len(batch) == 1}
    assert {1, 11} <= short


def test_schedule_gives_the_sizes_and_goes_on_in_the_next_pass():
    batcher = batch_by_length(size=compounding(1.0, 4.0, 2.0), buffer=2)
    examples = make_examples([5] * 7)
    assert sorted(len(batch) for batch in batcher(examples)) == [1, 2, 4]
    assert sorted(len(batch) for batch in batcher(examples)) == [3, 4]


def test_endless_stream_is_read_one_buffer_at_a_time():
    n_read = count()
    stream = (make_example(next(n_read) % 30) for _ in count())
    batches = list(islice(batch_by_length(size=4, buffer=3)(stream), 4))
    assert [len(batch) for batch in batches] == [4] * 4
    assert next(n_read) == 2 * 4 * 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "size is 0"),
        ({"size": [4, 8]}, r"size is \[4, 8\]"),
        ({"size": 8, "max_words": -1}, "max_words is -1"),
        ({"size": 8, "max_cells": -2}, "max_cells is -2"),
        ({"size": 8, "buffer": 0}, "buffer is 0"),
    ],
)
def test_bad_argument_is_named_before_the_first_batch(arguments, message):
    with pytest.raises(ValueError, match=f"{NAME}: {message}"):
        batch_by_length(**arguments)


@pytest.mark.parametrize(("sizes", "message"), [([2.0, 0.5], "come to 0.5"), ([2.0], "ended")])
def test_bad_schedule_is_named_where_it_goes_wrong(sizes, message):
    with pytest.raises(ValueError, match=f"{NAME}: the schedule of size has {message}"):
        list(batch_by_length(size=iter(sizes))(make_examples([5] * 9)))


def test_config_resolves(resolve):
    batches = list(resolve(CONFIG)(make_examples(SKEWED)))
    expected = batch_by_length(
        size=compounding(2.0, 8.0, 1.5), max_words=300, max_cells=2000, buffer=4, seed=1
    )
    assert [[len(eg) for eg in batch] for batch in batches] == [
        [len(eg) for eg in batch] for batch in expected(make_examples(SKEWED))
    ]


@pytest.mark.parametrize("max_epochs", [0, 2, -1])
def test_spacy_draws_epochs_from_it(max_epochs):
    examples = make_examples(range(1, 22))
    stream = create_train_batches(
        spacy.blank("en"), lambda nlp: iter(examples), batch_by_length(size=4), max_epochs
    )
    drawn = list(islice(stream, 12))
    assert [epoch for epoch, _ in drawn] == [0] * 6 + [1] * 6
    first, second = ([batch for epoch, batch in drawn if epoch == number] for number in (0, 1))
    assert flat(first) == flat(second) == sorted(map(id, examples))
    assert ids(first) != ids(second)
    assert (next(stream, None) is None) == (max_epochs == 2)


def test_spacy_train_learns_with_it(run_spacy, resolve, tiny_config, tiny_corpus, tmp_path):
    config = Config().from_disk(tiny_config, interpolate=False)
    config["training"]["batcher"] = {"@batchers": NAME, "size": 5, "max_words": 200}
    config.to_disk(tmp_path / "by_length.cfg")
    paths = ("--paths.train", tiny_corpus, "--paths.dev", tiny_corpus)
    result = run_spacy("train", tmp_path / "by_length.cfg", "--output", tmp_path, *paths)
    assert result.exit_code == 0, result.output
    scores = spacy.load(tmp_path / "model-last").meta["performance"]
    assert scores["ents_f"] == scores["rels_strict_f"] == 1.0

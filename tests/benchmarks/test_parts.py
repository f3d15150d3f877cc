"""Timers round the parts of a pipeline."""

from types import SimpleNamespace

import pytest

from benchmarks.parts import PartTimer, profiled, share_rows
from benchmarks.pipelines import load_pipeline


def test_a_part_does_not_count_the_parts_within_it(clock):
    with PartTimer(clock) as timer:
        clock.sleep(1)
        with timer.part("outer"):
            clock.sleep(2)
            with timer.part("inner"):
                clock.sleep(4)
            clock.sleep(8)
        clock.sleep(16)
    assert timer.seconds == {"other": 17, "outer": 10, "inner": 4}


def test_a_part_that_fails_is_counted(clock):
    with PartTimer(clock) as timer:
        with pytest.raises(ValueError), timer.part("failing"):
            clock.sleep(2)
            raise ValueError
        clock.sleep(1)
    assert timer.seconds == {"other": 1, "failing": 2}


def test_a_function_is_timed_and_put_back(clock):
    owner = SimpleNamespace(work=lambda seconds: clock.sleep(seconds) or "done")
    work = owner.work
    with PartTimer(clock) as timer:
        timer.wrap(owner, "work", "work")
        assert owner.work(3) == "done"
    assert timer.seconds == {"other": 0, "work": 3}
    assert owner.work is work


def test_the_backward_pass_of_a_layer_is_a_part_of_its_own(clock):
    def begin_update(value):
        clock.sleep(1)
        return value + 1, lambda gradient: clock.sleep(2) or gradient - 1

    layer = SimpleNamespace(begin_update=begin_update)
    with PartTimer(clock) as timer:
        timer.wrap_layer(layer, "begin_update", "forward", "backward")
        output, backprop = layer.begin_update(5)
        assert (output, backprop(5)) == (6, 4)
    assert timer.seconds == {"other": 0, "forward": 1, "backward": 2}


def test_parts_are_listed_with_their_shares():
    assert share_rows({"head": 1.0, "encoder": 3.0}) == [
        {"part": "encoder", "ms": 3000.0, "percent": 75.0},
        {"part": "head", "ms": 1000.0, "percent": 25.0},
    ]


def test_a_profiled_pipeline_predicts_the_same_and_is_put_back(tiny_run, tiny_config, tiny_corpus):
    nlp, _ = load_pipeline(
        tiny_run / "model-last", config=tiny_config, encoder="", train=tiny_corpus
    )
    text = "Ada Lovelace was born in London."
    expected = nlp(text).to_json()
    before = nlp.get_pipe("tabcnn").model.get_ref("head")._func
    with profiled(nlp) as timer:
        assert nlp(text).to_json() == expected
    assert nlp.get_pipe("tabcnn").model.get_ref("head")._func is before
    assert set(timer.seconds) == {
        "other",
        "tokeniser",
        "other embeddings",
        "head forward",
        "decode",
        "annotation",
    }
    spent = dict(timer.seconds)
    nlp(text)
    assert timer.seconds == spent

"""The benchmark of all table heads."""

from benchmarks.head import Sizes
from benchmarks.heads import HEADS, Input, heads_cli, make_head, measure_input

TINY = Sizes(width=6, n_tags=5, n_relations=3)


def test_an_input_gives_a_row_for_each_head_and_pass():
    rows = measure_input(
        Input("two sentences", [[3, 5]]), TINY, repeats=2, max_seconds=60, seed=0, memory=False
    )
    assert [(row["pass"], row["head"]) for row in rows] == [
        (mode, name) for mode in ("forward", "forward + backward") for name in HEADS
    ]
    assert all(row["rounds"] == 2 and row["ms"] > 0 for row in rows)
    assert {row["time/TableCNN"] for row in rows if row["head"] == "TableCNN"} == {1.0}


def test_every_head_of_the_package_is_measured():
    assert {type(make_head(name, TINY, 0)).__name__ for name in HEADS} == set(HEADS)


def test_the_command_reports_time_and_memory(run_benchmark, tiny_corpus, monkeypatch):
    # New processes take seconds to start.
    monkeypatch.setattr(
        "benchmarks.heads.in_fresh_process", lambda function, *args: function(*args)
    )
    saved = run_benchmark(heads_cli, "--data", tiny_corpus, "--length", 4, "--width", 8)
    [rows] = saved["tables"].values()
    assert [row["input"] for row in rows] == ["8 sentences"] * 6 + ["n = 4"] * 6
    assert all("MiB" in row for row in rows)
    assert saved["settings"]["width"] == 8
    assert set(saved["headline"]) == {
        f"{name}/TableCNN, 8 sentences, {mode}"
        for name in ("TableBiaffine", "TableSequence")
        for mode in ("forward", "forward + backward")
    }

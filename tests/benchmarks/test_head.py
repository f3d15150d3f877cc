"""The benchmark of the table head."""

import sys

import pytest

from benchmarks.common import in_fresh_process
from benchmarks.head import Case, Sizes, head_cli, make_cases, measure_case, measure_memory

TINY = Sizes(width=6, n_tags=5, n_relations=3)
ROW = ["input", "k", "L", "pass", "dense_ms", "head_ms", "dense/head", "rounds", "difference"]


def measure(case, **options):
    return measure_case(
        case, repeats=2, max_seconds=60, seed=0, memory=False, sizes=TINY, **options
    )


def test_every_head_meets_every_input():
    cases = make_cases([[3, 4], [5, 6]], lengths=[10, 400], kernel_sizes=[3, 5], layers=[2, 3])
    assert len(cases) == len(set(map(str, cases))) == 2 * 2 * (1 + 2)
    assert cases[0] == Case("8 sentences", [[3, 4], [5, 6]], 3, (512,))
    assert cases[-1] == Case("n = 400", [[400]], 5, (512, 256))


def test_a_head_of_other_layers_is_refused():
    with pytest.raises(ValueError, match="--layers 4: expected one of 2, 3"):
        make_cases([[3, 4]], lengths=[10], kernel_sizes=[3], layers=[2, 4])


def test_a_case_gives_a_row_a_pass():
    rows = measure(Case("two sentences", [[3, 5]], 3, (8, 4)))
    assert [list(row) for row in rows] == [ROW, ROW]
    assert [(row["pass"], row["k"], row["L"], row["rounds"]) for row in rows] == [
        ("forward", 3, 3, 2),
        ("forward + backward", 3, 3, 2),
    ]


def test_heads_are_compared_on_single_sentences():
    [difference] = {row["difference"] for row in measure(Case("n = 12", [[12]], 5, (8,)))}
    assert 0 <= difference < 1e-4


def test_heads_are_not_compared_where_padding_leaks():
    assert {row["difference"] for row in measure(Case("two sentences", [[3, 5]], 3, (8,)))} == {
        None
    }


def test_a_difference_between_the_heads_shows(monkeypatch):
    # Without it, each module draws weights of its own.
    monkeypatch.setattr("torch.manual_seed", lambda seed: None)
    assert measure(Case("n = 12", [[12]], 3, (8,)))[0]["difference"] > 0.01


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's /proc")
@pytest.mark.parametrize("backward", [False, True])
def test_memory_grows_with_the_sentence(backward):
    sizes = Sizes(width=32, n_tags=5, n_relations=3)
    peaks = []
    for n in (2, 200):
        case = Case("", [[n]], 3, (64,))
        peaks.append(in_fresh_process(measure_memory, "dense", case, sizes, 0, backward))
    # The table alone has 200 * 200 cells of 2 * 32 floats.
    assert peaks[1] - peaks[0] > 4 * 200 * 200 * 2 * 32


def test_the_command_reports_time_and_memory(run_benchmark, tiny_corpus, monkeypatch):
    # New processes take seconds to start.
    monkeypatch.setattr("benchmarks.head.in_fresh_process", lambda function, *args: function(*args))
    monkeypatch.setattr("benchmarks.head.HIDDEN", {2: (8,)})
    saved = run_benchmark(
        head_cli, "--data", tiny_corpus, "--length", 10, "--kernel-size", 3, "--layers", 2
    )
    [rows] = saved["tables"].values()
    assert [(row["input"], row["pass"]) for row in rows] == [
        ("8 sentences", "forward"),
        ("8 sentences", "forward + backward"),
        ("n = 10", "forward"),
        ("n = 10", "forward + backward"),
    ]
    assert all({"dense_MiB", "head_MiB"} <= set(row) for row in rows)
    assert saved["settings"]["data"] == f"{tiny_corpus}: 10 documents, 184 words"
    assert (
        saved["headline"]["dense/head, 8 sentences, k = 3, L = 2, forward"] == rows[0]["dense/head"]
    )
    assert saved["headline"]["greatest difference of a logit"] < 1e-4


def test_the_command_says_how_to_make_a_missing_corpus(run_command, tmp_path):
    result = run_command(head_cli, "--data", tmp_path / "missing.spacy")
    assert result.exit_code == 1
    assert "spacy project run convert" in " ".join(result.output.split())

"""The benchmark of the structure."""

import ast

import pytest

from benchmarks.structure import (
    count_hops,
    measure_complexity,
    read_style,
    structure_cli,
    trace_calls,
)

from ..conftest import ROOT

STEPS = ["predict, default component", "update, default component"]


@pytest.fixture
def source(tmp_path):
    """Write a Python file and return its path."""

    def write(text):
        path = tmp_path / "module.py"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def complexity_of(code):
    return measure_complexity(ast.parse(code).body[0])


def test_a_function_without_branches_has_complexity_one():
    assert complexity_of("def f(a):\n    return a + 1") == 1


@pytest.mark.parametrize(
    ("body", "complexity"),
    [
        ("if a: b\n    elif c: d", 3),
        ("for a in b: c\n    else: d", 3),
        ("return a if b else c", 2),
        ("return a and b or c", 3),
        ("return [a for b in c if d]", 3),
        ("try: a\n    except B: c\n    except D: e", 3),
        ("assert a", 2),
        ("match a:\n        case 1: b\n        case _: c", 3),
    ],
)
def test_branches_add_to_the_complexity(body, complexity):
    assert complexity_of(f"def f():\n    {body}") == complexity


def test_a_function_within_counts_for_itself(source):
    path = source("def outer():\n    def inner(a):\n        return a or 1\n    return inner\n")
    assert sorted(read_style([path]).complexities.values()) == [1, 2]


def test_the_style_counts_mentions_of_any_and_no_other_use_of_the_word(source):
    style = read_style([source('"""Any word.\n\nx (Any): A value.\n"""\nx: Any = 1\n')])
    assert (style.lines, style.mentions) == (4, 2)


def test_lines_of_more_than_100_columns_are_long(source):
    assert read_style([source(f"# {'a' * 98}\n# {'a' * 99}\n")]).long_lines == 1


def test_calls_of_other_packages_do_not_count(tmp_path):
    assert trace_calls(lambda: complexity_of("def f(): pass"), ROOT / "benchmarks") != []
    assert trace_calls(lambda: complexity_of("def f(): pass"), tmp_path) == []


def test_hops_are_between_consecutive_calls():
    assert count_hops(["a", "a", "b", "a"]) == 2


def test_the_command_counts_calls_and_compares_with_the_encoder(
    run_benchmark, transformer_options, tiny_corpus
):
    saved = run_benchmark(structure_cli, *transformer_options, "--words", 14)
    calls, rooms, *_ = saved["tables"].values()
    assert [row["step"] for row in calls[:2]] == STEPS
    assert all(row["calls"] > row["hops"] > row["files"] > 1 for row in calls)
    assert rooms[-1]["lines"] == sum(row["lines"] for row in rooms[:-1])
    assert saved["headline"]["nlp(doc) / encoder, CPU time"] > 1


def test_the_command_says_which_lengths_there_are(run_command, tiny_options):
    result = run_command(structure_cli, *tiny_options, "--words", 10000)
    assert result.exit_code == 1
    assert "Its shortest document has" in result.output

"""Rows for `annotate`: every row is in the output or in the rejects, whatever it holds."""

import json
import math
from pathlib import Path

from hypothesis import strategies as st

from spacy_tabcnn.bulk.annotate import annotate_file
from spacy_tabcnn.bulk.rows import read_rows

from ..bulk import no_pipeline
from ..target import READ, REFUSED, Files, Finding, Target

_NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from([2**53, 2**53 + 1, 2**63, -(2**63), 10**300, 1e308]),
)
_STRINGS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["", "\ud83d", "\udc00", "\0", "\ufeff", "a\r\nb", "\u2028", "=1+1", '"', ","]),
)
_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), _NUMBERS, _STRINGS),
    lambda values: st.one_of(
        st.lists(values, max_size=3), st.dictionaries(_STRINGS, values, max_size=3)
    ),
    max_leaves=6,
)
_NAMES = st.one_of(st.sampled_from(["id", "text", "entities", "relations", "n", "N"]), _STRINGS)
_FORMATS = ("jsonl", "csv", "parquet")


@st.composite
def _lines(draw: st.DrawFn) -> bytes:
    """Draw a line of JSON, mostly with a text."""
    record = draw(st.dictionaries(_NAMES, _VALUES, max_size=4))
    if draw(st.integers(0, 4)):
        record["text"] = draw(_STRINGS)
    line = json.dumps(record)
    kind = draw(
        st.sampled_from(["plain"] * 6 + ["utf-8", "deep", "digits", "repeated", "cut", "b"])
    )
    if kind == "utf-8":
        return json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass")
    if kind == "deep":
        depth = draw(st.sampled_from([50, 99, 100, 101, 500, 20_000]))
        line = f'{{"id": 1, "text": "a", "n": {"[" * depth}{"]" * depth}}}'
    elif kind == "digits":
        line = f'{{"id": 1, "text": "a", "n": {"9" * draw(st.sampled_from([4300, 4301, 9000]))}}}'
    elif kind == "repeated":
        line = '{"id": 1, "text": "a", "text": "b"}'
    elif kind == "cut":
        line = line[: draw(st.integers(0, len(line)))]
    elif kind == "b":
        return line.encode() + draw(st.binary(max_size=3)).replace(b"\n", b"")
    return line.encode()


@st.composite
def _inputs(draw: st.DrawFn) -> Files:
    lines = draw(st.lists(_lines(), max_size=7))
    ending = draw(st.sampled_from([b"\n", b"\r\n"]))
    content = ending.join(lines)
    if draw(st.integers(0, 5)) == 0:
        content = b"\xef\xbb\xbf" + content
    return {"in.jsonl": content}


def _check(files: Files, folder: Path) -> str:
    source = folder / "in.jsonl"
    source.write_bytes(files["in.jsonl"])
    rows = list(read_rows(source))
    with no_pipeline():
        for suffix in _FORMATS:
            output = folder / f"out.{suffix}"
            summary = annotate_file("model", source, output, part_size=3)
            if summary is None or summary.n_rows + summary.n_rejected != len(rows):
                raise Finding("lost rows", f"{suffix}: {summary} of {len(rows)}")
            _check_rejects(output, summary.n_rejected)
    _check_fields(folder / "out.jsonl", source)
    if any(row.reason for row in rows):
        return REFUSED
    return READ


def _check_rejects(output: Path, n_rejected: int) -> None:
    path = output.with_name(f"{output.name}.rejects.jsonl")
    rejects = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    if len(rejects) != n_rejected or not all(json.loads(line)["reason"] for line in rejects):
        raise Finding("rejects without reasons", output.suffix)


def _check_fields(output: Path, source: Path) -> None:
    """Check that the rows of the output have the fields of the input."""
    written = [json.loads(line) for line in output.read_bytes().split(b"\n")[:-1]]
    expected = [row for row in read_rows(source) if row.reason is None and row.line % 5]
    if len(written) != len(expected):
        raise Finding("other rows", output.name)
    for record, row in zip(written, expected, strict=True):
        for name in row.record.keys() - {"entities", "relations"}:
            if record[name] != _replace_infinite(row.record[name]):
                raise Finding("other fields", f"{name}: {record[name]!r}")


def _replace_infinite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return list(map(_replace_infinite, value))
    if isinstance(value, dict):
        return {name: _replace_infinite(item) for name, item in value.items()}
    return value


TARGET = Target(_inputs(), _check, seconds=20.0, n_short=40)

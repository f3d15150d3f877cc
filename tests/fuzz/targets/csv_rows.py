"""CSV for `annotate`: every record is in the output or in the rejects, or the header is refused."""

import csv
import io
from pathlib import Path

from hypothesis import strategies as st

from spacy_tabcnn.bulk.annotate import annotate_file
from spacy_tabcnn.bulk.rows import read_rows

from ..bulk import no_pipeline
from ..target import READ, REFUSED, Files, Finding, Target

_CELLS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        ["", "\0", "\ufeff", "a\r\nb", "\r", '"', '""', ",;", "=1+1", "\u2028", "é" * 50]
    ),
)
_NAMES = st.sampled_from(["id", "text", "text", "n", "N", "", "entities", "relations", "a b", "é"])


@st.composite
def _inputs(draw: st.DrawFn) -> Files:
    file_ = io.StringIO()
    delimiter = draw(st.sampled_from(",;\t|"))
    writer = csv.writer(
        file_, delimiter=delimiter, lineterminator=draw(st.sampled_from(["\n", "\r\n"]))
    )
    names = draw(st.lists(_NAMES, min_size=1, max_size=4, unique=draw(st.booleans())))
    if draw(st.integers(0, 3)):
        names = ["text", *(name for name in names if name != "text")]
    writer.writerow(names)
    for _ in range(draw(st.integers(0, 6))):
        n_cells = len(names) + draw(st.sampled_from([0] * 8 + [1, -1]))
        writer.writerow(draw(st.lists(_CELLS, min_size=n_cells, max_size=n_cells)))
    content = file_.getvalue().encode(
        draw(st.sampled_from(["utf-8"] * 4 + ["utf-16", "utf-8-sig"]))
    )
    if draw(st.integers(0, 3)) == 0:
        position = draw(st.integers(0, len(content)))
        content = content[:position] + draw(st.binary(max_size=3)) + content[position:]
    return {"in.csv": content}


def _check(files: Files, folder: Path) -> str:
    source = folder / "in.csv"
    source.write_bytes(files["in.csv"])
    try:
        rows = list(read_rows(source))
    except ValueError as err:
        if "in.csv" not in str(err):
            raise Finding("no file in the message", str(err)) from err
        return REFUSED
    with no_pipeline():
        for suffix in ("jsonl", "csv", "parquet"):
            summary = annotate_file("model", source, folder / f"out.{suffix}", part_size=3)
            if summary is None or summary.n_rows + summary.n_rejected != len(rows):
                raise Finding("lost rows", f"{suffix}: {summary} of {len(rows)}")
    _check_same(folder / "out.csv", folder / "out.jsonl")
    return READ


def _check_same(path: Path, other: Path) -> None:
    """Check that CSV and JSONL have the same fields, apart from the annotation."""
    fields = []
    for output in (path, other):
        rows = [row.record for row in read_rows(output)]
        for row in rows:
            row.pop("entities")
            row.pop("relations")
        fields.append(rows)
    if fields[0] != fields[1]:
        raise Finding("other fields", f"{fields[0]} in CSV, {fields[1]} in JSONL")


TARGET = Target(_inputs(), _check, seconds=20.0, n_short=40)

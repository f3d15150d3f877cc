import json
import math
from datetime import date, datetime
from decimal import Decimal

import pytest

from spacy_tabcnn.bulk import rows
from spacy_tabcnn.bulk.json_rows import dump_json
from spacy_tabcnn.bulk.rows import count_rows, get_format, read_rows

# Emoji with a joiner, a combining accent, right-to-left, a line separator that is no end of a line.
UNICODE = ["👩‍🚀 Ann 😀", "Zoe\u0301 lives", "אן גרה ברומא", "one\u2028line\x85only\rhere"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_text_has_a_document_a_line(tmp_path, end):
    path = tmp_path / "in.txt"
    path.write_bytes(end.join([*UNICODE, "", "last"]).encode())
    rows = list(read_rows(path, text_field="body"))
    assert [row.record for row in rows] == [{"body": text} for text in [*UNICODE, "", "last"]]
    assert [row.line for row in rows] == [1, 2, 3, 4, 5, 6]
    assert count_rows(path) == 6


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_jsonl_keeps_all_fields(tmp_path, end):
    records = [{"id": 2**70, "text": text, "meta": {"a": [1, None]}} for text in UNICODE]
    path = tmp_path / "in.jsonl"
    path.write_bytes(
        b"\xef\xbb\xbf"
        + end.join([json.dumps(records[0]), "", *map(json.dumps, records[1:])]).encode()
    )
    rows = list(read_rows(path))
    assert [row.record for row in rows] == records
    assert [row.line for row in rows] == [1, 3, 4, 5]
    assert all(row.reason is None for row in rows)
    assert count_rows(path) == 4


@pytest.mark.parametrize(
    "line,reason",
    [
        (b'{"text": "a"', "invalid JSON"),
        (b'["a"]', "expected an object instead of list"),
        (b"[" * 100_000, "invalid JSON"),
        (b'{"body": "a"}', "there is no field 'text'"),
        (b'{"text": null}', "the field 'text' is NoneType; expected a string"),
        (b'{"text": 3}', "the field 'text' is int; expected a string"),
        (b'{"text": "\xff"}', "not valid Unicode"),
        (b'{"text": "\\ud83d"}', "not valid Unicode"),
    ],
)
def test_a_bad_line_has_its_reason_and_stops_nothing(tmp_path, line, reason):
    (tmp_path / "in.jsonl").write_bytes(b'{"text": "a"}\n' + line + b'\n{"text": "b"}\n')
    first, bad, last = read_rows(tmp_path / "in.jsonl")
    assert first.record == {"text": "a"} and last == (3, {"text": "b"}, None)
    assert bad.line == 2 and reason in bad.reason


def test_a_parquet_file_is_read_like_jsonl(tmp_path):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    texts = [*UNICODE, None] * 100
    parquet.write_table(pa.table({"id": range(500), "body": texts}), tmp_path / "in.parquet")
    rows = list(read_rows(tmp_path / "in.parquet", text_field="body"))
    assert [row.record for row in rows] == [{"id": i, "body": text} for i, text in enumerate(texts)]
    assert [row.line for row in rows if row.reason] == list(range(5, 501, 5))
    assert (
        "id"
        not in next(read_rows(tmp_path / "in.parquet", text_field="body", only_text=True)).record
    )
    assert count_rows(tmp_path / "in.parquet") == 500


@pytest.fixture
def repeated(tmp_path):
    """A small file of Parquet with 300 rows of one long string."""
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    notes = ["x" * 10_000] * 300
    table = pa.table({"id": range(300), "text": ["a"] * 300, "note": notes, "n.n": notes})
    table = table.append_column("coded", pa.array([b"y" * 10_000] * 300).dictionary_encode())
    parquet.write_table(table, tmp_path / "in.parquet")
    return tmp_path / "in.parquet"


def test_rows_of_parquet_are_read_in_slices_that_fit_into_memory(repeated, monkeypatch):
    monkeypatch.setattr(rows, "_MAX_BYTES", 100_000)
    sizes = [batch.num_rows for batch in rows.read_batches(repeated, 256)]
    assert sum(sizes) == 300 and set(sizes[:-1]) == {3, 1}
    found = list(read_rows(repeated))
    assert [row.record["id"] for row in found] == list(range(300))
    assert all(row.record["note"] == row.record["n.n"] == "x" * 10_000 for row in found)
    assert found[0].record["coded"] == b"y" * 10_000


def test_a_row_of_parquet_that_is_too_large_is_rejected(repeated, monkeypatch):
    monkeypatch.setattr(rows, "_MAX_BYTES", 2**14)
    found = list(read_rows(repeated))
    assert len(found) == 300
    assert found[7] == (8, {"id": 7}, "the strings of the row take more than 0 MiB")
    assert next(read_rows(repeated, only_text=True)).reason is None


def test_a_column_with_the_path_of_a_field_is_read(tmp_path):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    record = {"text": "a", "z.z": "b", "z": {"z": "c"}, "none": None}
    parquet.write_table(pa.Table.from_pylist([record]), tmp_path / "in.parquet")
    assert [row.record for row in read_rows(tmp_path / "in.parquet")] == [record]


def test_a_parquet_file_needs_the_column(tmp_path):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"id": [1], "body": ["a"]}), tmp_path / "in.parquet")
    with pytest.raises(
        ValueError, match=r"in.parquet: no column 'text'; its columns are id, body.*--text-field"
    ):
        list(read_rows(tmp_path / "in.parquet"))


def test_a_value_that_json_cannot_hold_is_replaced():
    values = [
        math.nan,
        math.inf,
        date(2024, 1, 2),
        datetime(2024, 1, 2, 3),
        b"\xff",
        Decimal("1.5"),
        (1, True),
    ]
    expected = [None, None, "2024-01-02", "2024-01-02T03:00:00", "/w==", "1.5", [1, True]]
    assert json.loads(dump_json({"values": values})) == {"values": expected}


def test_the_suffix_names_the_format(tmp_path):
    assert get_format(tmp_path / "a.JSONL") == "jsonl"
    with pytest.raises(
        ValueError, match=r"a.xls.*'.xls'; expected one of .jsonl, .ndjson, .txt, .csv, .tsv, .parq"
    ):
        get_format(tmp_path / "a.xls")

"""Rows that a file, JSON, Python or Parquet cannot hold well."""

import json
import os
from io import BytesIO

import pytest

from spacy_tabcnn.bulk.annotate import annotate_file
from spacy_tabcnn.bulk.json_rows import MAX_DEPTH, encode_line, parse_line
from spacy_tabcnn.bulk.output import _group, write_output
from spacy_tabcnn.bulk.rows import check_source, count_rows, read_rows

from .conftest import FOUND, TEXT, get_names

DEEP = "[" * (MAX_DEPTH + 400) + "]" * (MAX_DEPTH + 400)


@pytest.mark.parametrize(
    "line,found_id,reason",
    [
        (b'{"id": 2, "text": "a \\ud83d b"}', 2, "not valid Unicode"),
        (b'{"id": 2, "text": "a", "other": "\\udc00"}', 2, "not valid Unicode"),
        (b'{"id": 2, "text": "a", "\\ud83d": 1}', 2, "not valid Unicode"),
        (b'{"id": 2, "text": "a \xff"}', 2, "not valid Unicode"),
        (b'{"id": "\xffx", "text": "a"}', "\ufffdx", "not valid Unicode"),
        (b'{"id": "\\ud83d", "text": "a"}', "\ud83d", "not valid Unicode"),
        (b'{"id": 2, "text": "a", "meta": %s}' % DEEP.encode(), 2, "nested more than 100 levels"),
        (b'{"id": 2, "text": "a", "n": %s}' % (b"9" * 5000), 2, "invalid JSON: Exceeds the limit"),
        (b'{"id": 2, "text": "a", "text": "b"}', 2, "the field 'text' occurs twice"),
        (b'{"id": 2, "text": "a", "meta": {"x": 1, "x": 2}}', 2, "the field 'x' occurs twice"),
    ],
)
def test_a_bad_line_keeps_its_id(line, found_id, reason):
    record, problem = parse_line(line)
    assert record == {"id": found_id}
    assert reason in problem


def test_an_id_that_is_nested_too_deep_is_left_out():
    assert parse_line(b'{"id": %s, "text": "a"}' % DEEP.encode())[0] == {}


def test_nesting_up_to_the_limit_is_kept():
    value = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    record, problem = parse_line(b'{"text": "a", "meta": %s}' % value.encode())
    assert problem is None
    assert json.loads(encode_line(record)) == record


def test_half_a_surrogate_pair_is_written_with_an_escape():
    assert encode_line({"id": "\ud83d"}) == b'{"id": "\\ud83d"}\n'


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_no_row_stops_a_run(model, tmp_path, read_jsonl, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    good = [
        {"id": [1], "text": TEXT, "number": float("nan"), "long": 10**30},
        {"id": None, "text": TEXT, "number": float("inf"), "": {"é": [[]]}},
    ]
    lines = [*map(json.dumps, good), '{"id": 3, "text": "\\ud83d"}']
    lines.append(f'{{"id": 4, "text": "a", "meta": {DEEP}}}')
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    output = tmp_path / f"out.{suffix}"
    assert annotate_file(model, tmp_path / "in.jsonl", output) == (2, 2, 0)
    rejects = read_jsonl(tmp_path / f"out.{suffix}.rejects.jsonl")
    assert [(reject["line"], reject["id"]) for reject in rejects] == [(3, 3), (4, 4)]


def make_parquet(path, **columns):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    arrays = [pa.array(["a"]), pa.array([TEXT]), *columns.values()]
    parquet.write_table(pa.table(arrays, names=["id", "text", *columns]), path)
    return path


def test_columns_with_one_name_are_refused_before_the_work(model, tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for names in (["text", "x", "x"], ["text", "text", "y"]):
        table = pa.table([pa.array(["a"])] * 3, names=names)
        parquet.write_table(table, tmp_path / "in.parquet")
        with pytest.raises(ValueError, match=r"in.parquet: several columns have the name '(x|te)"):
            annotate_file(model, tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("values", [[b"Ann"], [4], [["Ann"]]])
def test_a_column_without_strings_is_refused(tmp_path, values):
    pa = pytest.importorskip("pyarrow")
    path = make_parquet(tmp_path / "in.parquet", body=pa.array(values))
    with pytest.raises(ValueError, match=r"the column 'body' holds .*; expected strings"):
        check_source(path, "body")


@pytest.mark.parametrize("name", ["entities", "relations"])
def test_the_text_is_in_no_field_that_is_replaced(tmp_path, name):
    with pytest.raises(ValueError, match="annotation replaces"):
        check_source(tmp_path / "in.jsonl", name)


def make_unreadable(kind):
    """A column of one value that Python cannot hold."""
    pa = pytest.importorskip("pyarrow")
    if kind == "date":
        return pa.array([2**30], pa.int32()).cast(pa.date32())
    if kind == "time zone":
        return pa.array([1], pa.timestamp("us", tz="Foo/Bar"))
    if kind == "bytes":
        offsets = pa.py_buffer(b"\0\0\0\0\1\0\0\0")
        return pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(b"\xff")])
    fields = [pa.field("a", pa.int64())] * 2
    return pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], fields=fields)


@pytest.mark.parametrize("kind", ["date", "time zone", "bytes", "struct"])
def test_a_value_of_parquet_that_python_cannot_hold_rejects_its_row(
    model, tmp_path, read_jsonl, kind
):
    path = make_parquet(tmp_path / "in.parquet", odd=make_unreadable(kind))
    assert annotate_file(model, path, tmp_path / "out.jsonl") == (0, 1, 0)
    [reject] = read_jsonl(tmp_path / "out.jsonl.rejects.jsonl")
    assert reject["id"] == "a" and reject["reason"].startswith("the column 'odd' cannot be read")
    # From Parquet to Parquet, the value is copied as it is.
    assert annotate_file(model, path, tmp_path / "out.parquet") == (1, 0, 0)


def test_types_that_arrow_cannot_take_are_copied(model, tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    texts = pa.array([TEXT, None, "", "b"], pa.string_view())
    parquet.write_table(pa.table({"text": texts}), tmp_path / "in.parquet")
    assert annotate_file(model, tmp_path / "in.parquet", tmp_path / "out.parquet") == (3, 1, 0)
    rows = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["text"] for row in rows] == [TEXT, "", "b"] and get_names(rows[0]) == FOUND


CSV = 'id,text,note\r\n1,"Ann, ""A"",\nlives",x\r\n\r\n'
CSV += '2,Bob\r\n3,,y\r\n4,"a"b,z\r\n5,\xff,z\r\n6,"open,z'


def test_csv_has_a_header_and_a_record_for_each_document(tmp_path):
    path = tmp_path / "in.csv"
    path.write_bytes(b"\xef\xbb\xbf" + CSV.encode("latin-1"))
    rows = list(read_rows(path))
    assert [row.line for row in rows] == [2, 5, 6, 7, 8, 9]
    assert rows[0].record == {"id": "1", "text": 'Ann, "A",\nlives', "note": "x"}
    assert rows[2].record == {"id": "3", "text": "", "note": "y"}
    assert [row.record.get("id") for row in rows if row.reason] == ["2", None, "5", None]
    reasons = (
        "it has 2 fields; the header has 3",
        "invalid CSV",
        "not valid Unicode",
        "invalid CSV",
    )
    for row, reason in zip([row for row in rows if row.reason], reasons, strict=True):
        assert reason in row.reason
    assert count_rows(path) == len(rows)


@pytest.mark.parametrize("delimiter", list(",;\t|"))
@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_the_separator_of_csv_is_found(tmp_path, delimiter, suffix):
    path = tmp_path / f"in.{suffix}"
    path.write_text(f"id{delimiter}body\n1{delimiter}Ann\n", encoding="utf-8")
    [row] = read_rows(path, text_field="body")
    assert row.record == {"id": "1", "body": "Ann"}


@pytest.mark.parametrize(
    "content,message",
    [
        (b"id,text,id\n", "several columns have the name 'id'"),
        (b"id,body\n1,a\n", "no column 'text'; its columns are id, body"),
        (b"", "its columns are none"),
        ("id,text\n1,Ann\n".encode("utf-16"), "the header cannot be read.*in UTF-8"),
        (b'"id,text\n', "the header cannot be read"),
    ],
)
def test_a_bad_header_is_refused_before_the_work(model, tmp_path, content, message):
    (tmp_path / "in.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        annotate_file(model, tmp_path / "in.csv", tmp_path / "out.jsonl")
    assert not list(tmp_path.glob("out*"))


def test_csv_to_csv(model, tmp_path):
    (tmp_path / "in.csv").write_text(f'id,text\n7,"{TEXT}"\n', encoding="utf-8")
    assert annotate_file(model, tmp_path / "in.csv", tmp_path / "out.csv") == (1, 0, 0)
    [row] = read_rows(tmp_path / "out.csv")
    assert list(row.record) == ["id", "text", "entities", "relations"]
    annotation = {name: json.loads(row.record[name]) for name in ("entities", "relations")}
    assert row.record["id"] == "7" and get_names({**row.record, **annotation}) == FOUND


@pytest.mark.parametrize("text", ["\r", "a\rb", "a\nb", "a\r\nb", ' "', "a,b", "", " "])
def test_any_text_in_csv(model, tmp_path, write_jsonl, text):
    source = write_jsonl(tmp_path / "in.jsonl", [{"text": text, "n": 1}])
    annotate_file(model, source, tmp_path / "out.csv")
    [row] = read_rows(tmp_path / "out.csv")
    assert row.record["text"] == text
    assert (tmp_path / "out.csv").read_bytes().startswith(b"text,n,entities,relations\n")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_csv_without_a_good_record_keeps_its_columns(model, tmp_path, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    (tmp_path / "in.csv").write_text("id,text\n1\n")
    assert annotate_file(model, tmp_path / "in.csv", tmp_path / f"out.{suffix}") == (0, 1, 0)
    check_source(tmp_path / f"out.{suffix}", "text")


def test_values_in_csv(model, tmp_path, write_jsonl):
    record = {"text": TEXT, "none": None, "flag": True, "list": ["é"], "relations": 1}
    source = write_jsonl(tmp_path / "in.jsonl", [record, {"text": "", "late": 0.5}])
    annotate_file(model, source, tmp_path / "out.csv")
    first, second = (row.record for row in read_rows(tmp_path / "out.csv"))
    names = ("none", "flag", "list", "late")
    assert [first[name] for name in names] == ["", "true", '["é"]', ""]
    assert [second[name] for name in names] == ["", "", "", "0.5"]


def test_a_damaged_column_is_found_before_the_work(model, tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "in.parquet"
    table = pa.table({"text": [TEXT] * 50, "odd": [f"value {number}" for number in range(50)]})
    parquet.write_table(table, path, compression="none", use_dictionary=False)
    data = path.read_bytes()
    start = data.index(b"value 0") - 60  # the head of the page
    path.write_bytes(data[:start] + b"\xff" * 40 + data[start + 40 :])
    for suffix in ("jsonl", "parquet"):
        with pytest.raises(ValueError, match=r"in.parquet: .* cannot be read"):
            annotate_file(model, path, tmp_path / f"out.{suffix}")
    assert not list(tmp_path.glob("out*"))


def test_a_file_that_is_no_parquet_is_named(model, tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "in.parquet").write_bytes(b"PAR1" + b"\xff" * 50)
    with pytest.raises(ValueError, match=r"in.parquet: cannot be read as Parquet"):
        annotate_file(model, tmp_path / "in.parquet", tmp_path / "out.jsonl")
    with pytest.raises(FileNotFoundError):
        annotate_file(model, tmp_path / "none.parquet", tmp_path / "out.jsonl")


def test_columns_that_are_nested_too_deep_are_refused_before_the_work(model, tmp_path):
    pa = pytest.importorskip("pyarrow")
    type_ = pa.int64()
    for _ in range(300):
        type_ = pa.list_(type_)
    path = make_parquet(tmp_path / "in.parquet", deep=pa.nulls(1, type_))
    with pytest.raises(ValueError, match=r"in.parquet: cannot be read as Parquet .*nested"):
        annotate_file(model, path, tmp_path / "out.parquet")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_too_many_columns_are_refused_before_the_work(
    model, tmp_path, write_jsonl, monkeypatch, suffix
):
    pytest.importorskip("pyarrow")
    monkeypatch.setattr("spacy_tabcnn.bulk.output.MAX_COLUMNS", 3)
    source = write_jsonl(tmp_path / "in.jsonl", [{"text": "a", f"n{i}": i} for i in range(5)])
    with pytest.raises(ValueError, match=r"in.jsonl: its rows up to line 3 have 4 different field"):
        annotate_file(model, source, tmp_path / f"out.{suffix}")
    annotate_file(model, source, tmp_path / "out.jsonl")


def test_row_groups_of_long_texts_are_small(monkeypatch):
    monkeypatch.setattr("spacy_tabcnn.bulk.output._GROUP_CHARS", 10)
    records = [{"text": "a" * length, "n": 1} for length in (4, 4, 4, 20, 1, 1)]
    assert list(map(len, _group(records))) == [3, 1, 2]
    assert list(_group([])) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_is_refused(model, tmp_path):
    os.mkfifo(tmp_path / "in.jsonl")
    with pytest.raises(ValueError, match=r"in.jsonl: is no file. .* reads its input twice"):
        annotate_file(model, tmp_path / "in.jsonl", tmp_path / "out.jsonl")


@pytest.mark.parametrize(
    "content",
    [
        '"id","text"\n"1","Ann"\n',
        '"id";"text"\n"1";"Ann"\n',
        'id\t"text"\n1\tAnn\n',
        '"text","id"\r\n"Ann",1\r\n',
        '"a,b"|"id"|"text"\n|1|Ann\n',
    ],
)
def test_the_names_of_csv_may_be_in_quotation_marks(tmp_path, content):
    path = tmp_path / "in.csv"
    path.write_text(content, encoding="utf-8")
    [row] = read_rows(path)
    assert row.reason is None and (row.record["id"], row.record["text"]) == ("1", "Ann")
    assert count_rows(path) == 1


def test_a_field_of_csv_that_does_not_end_is_refused_before_any_work(model, tmp_path):
    path = tmp_path / "in.csv"
    lines = ["id,text", "1,Ann", '2,"Bob', *(f"{number},Cy" for number in range(3, 9))]
    path.write_text("\n".join(lines), encoding="utf-8")
    message = "a field in quotation marks begins in line 3 and does not end"
    with pytest.raises(ValueError, match=message):
        annotate_file(model, path, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
    path.write_text("\n".join(lines).replace('"', ""), encoding="utf-8")
    assert annotate_file(model, path, tmp_path / "out.jsonl").n_rows == 8


def test_an_error_of_csv_names_all_lines_that_are_not_read(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text('id,text\n1,"Ann\n2,Bob\n3,"Cy"\n4,Di\n', encoding="utf-8")
    rows = list(read_rows(path))
    assert [row.line for row in rows] == [2, 5]
    assert "lines 2 to 4, of which none is read" in rows[0].reason
    assert rows[1].record == {"id": "4", "text": "Di"}


@pytest.mark.parametrize("suffix", ["txt", "jsonl", "csv"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le"])
def test_other_encodings_of_unicode_are_refused(tmp_path, suffix, encoding):
    path = tmp_path / f"in.{suffix}"
    path.write_text("\ufefftext\nAnn lives in Rome.\n", encoding=encoding)
    with pytest.raises(ValueError, match="UTF-8"):
        list(read_rows(path))
    with pytest.raises(ValueError, match="UTF-8"):
        check_source(path, "text")


@pytest.mark.parametrize("name", ["batch_size", "part_size", "n_process"])
def test_numbers_below_one_are_refused_before_any_work(model, tmp_path, write_jsonl, name):
    path = write_jsonl(tmp_path / "in.jsonl", [{"text": TEXT}])
    with pytest.raises(ValueError, match=f"{name} is 0; expected at least 1"):
        annotate_file(model, path, tmp_path / "out.jsonl", **{name: 0})
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_file_with_the_suffix_tsv_has_tabs(model, tmp_path, write_jsonl):
    path = write_jsonl(tmp_path / "in.jsonl", [{"id": 1, "text": TEXT}])
    assert annotate_file(model, path, tmp_path / "out.tsv") == (1, 0, 0)
    header, row = (tmp_path / "out.tsv").read_text(encoding="utf-8").splitlines()
    assert header == "id\ttext\tentities\trelations"
    assert row.startswith(f"1\t{TEXT}\t")
    [read] = read_rows(tmp_path / "out.tsv")
    assert read.record["text"] == TEXT


def test_the_metadata_of_parquet_are_kept(model, tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pa.table({"text": [TEXT]}).replace_schema_metadata({"source": "archive"})
    parquet.write_table(table, tmp_path / "in.parquet")
    annotate_file(model, tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert parquet.read_schema(tmp_path / "out.parquet").metadata[b"source"] == b"archive"


@pytest.mark.parametrize("n_results", [0, 2])
def test_results_that_are_not_those_of_parquet_are_refused(tmp_path, n_results):
    path = make_parquet(tmp_path / "in.parquet")
    results = [{"entities": [], "relations": []}] * n_results
    with pytest.raises(ValueError, match="rows than there are results"):
        write_output(
            path,
            results,
            BytesIO(),
            BytesIO(),
            text_field="text",
            to="parquet",
            columns={},
            model="",
        )

"""The records of a file in each layout, and the messages about bad ones."""

import json

import pytest

from spacy_tabcnn.corpora.conversion import ConversionReport
from spacy_tabcnn.corpora.formats import guess_format, read_annotations
from spacy_tabcnn.corpora.options import ReadingOptions
from spacy_tabcnn.corpora.records import MAX_LISTED, collect_docs, read_records

DOCCANO = {
    "id": 3,
    "text": "Zoë lives in Łódź",
    "entities": [{"id": 0, "start_offset": 0, "end_offset": 3, "label": "PERSON"}],
    "relations": [],
}
DYGIEPP = {"doc_key": 3, "sentences": [["Hm", "."]], "ner": [[[0, 0, "Task"]]], "relations": [[]]}
PRODIGY = {
    "text": "Zoë left",
    "meta": {"id": 3},
    "spans": [{"start": 0, "end": 3, "label": "PERSON"}],
    "answer": "accept",
}
SPERT = {
    "tokens": ["Zoë", "left"],
    "entities": [{"type": "Peop", "start": 0, "end": 1}],
    "relations": [],
    "orig_id": 3,
}
TABLERT = {"tokens": ["Zoë", "left"], "tags": ["U-Peop", "O"], "relations": [], "orig_id": 3}
VALUE = {"start": 0, "end": 3, "labels": ["PERSON"]}
LABEL_STUDIO = {
    "id": 3,
    "data": {"text": "Zoë left"},
    "annotations": [{"result": [{"id": "a", "type": "labels", "value": VALUE}]}],
}
RECORDS = {
    "doccano": DOCCANO,
    "dygiepp": DYGIEPP,
    "prodigy": PRODIGY,
    "spert": SPERT,
    "tablert": TABLERT,
    "labelstudio": LABEL_STUDIO,
}


def as_lines(records):
    return "\n".join(map(json.dumps, records))


def as_pretty_lines(records):
    return "\n".join(json.dumps(record, indent=2) for record in records)


def as_pretty_array(records):
    return json.dumps(records, indent=2)


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
@pytest.mark.parametrize("layout", [as_lines, json.dumps, as_pretty_array, as_pretty_lines])
@pytest.mark.parametrize("format_name", RECORDS)
def test_every_format_is_detected_and_read_in_every_layout(
    nlp, tmp_path, format_name, layout, suffix
):
    path = write(tmp_path / f"a{suffix}", layout([RECORDS[format_name]] * 2))
    assert guess_format(path) == format_name
    docs, report = read_annotations(path, nlp)
    assert [doc.user_data["orig_id"] for doc in docs] == [3, 3]
    assert report.entities.total() == 2


@pytest.mark.parametrize(
    "text,values",
    [
        ("", []),
        ("[]", []),
        ("[ ]\n", []),
        ("\n\n[{}]\n\n", [{}]),
        ('{"a": "]}"}\n{"a": "\\"["}', [{"a": "]}"}, {"a": '"['}]),
        ('{\n"a": ","\n}\n\n{"a": [1, 2]}', [{"a": ","}, {"a": [1, 2]}]),
        ('[{"a": 1}]\n[{"b": 2}]', [{"a": 1}, {"b": 2}]),
        ('[[1, "x, y"], null]', [[1, "x, y"], None]),
    ],
)
def test_values_are_found_in_any_layout(tmp_path, text, values):
    path = write(tmp_path / "a.json", text)
    records = list(read_records(path, unit="record"))
    assert [record.value for record in records] == values
    assert not any(record.problem for record in records)


@pytest.mark.parametrize(
    "text,problems",
    [
        ('[{"a": 1}, {"a": }]', ["line 1, column 18: invalid JSON .* in record 1"]),
        ('[\n{"a": nope},\n{"a": 1},\n{"a" 1}]', ["line 2, column 7:", "line 4, column 6:"]),
        ('[{"a": 1}, {"a": 2}', ["record 2: the file ends before its array ends"]),
        ('[{"a": 1}}', ["line 1, column 10: invalid JSON"]),
        ('{"a": 1}\n{"a":\n{"a": 1}', ["line 2, column 6: invalid JSON"]),
        ('{"a":\n{"a": 1}', ["line 1, column 6: invalid JSON"]),
        ('{"a": 1}\nnope', ["line 2, column 1: invalid JSON"]),
        ('[{"a": 1}, {"b": 1, "b": 2}]', ["record 1: the key 'b' occurs twice in one object"]),
        ('{"a": {"b": 1, "b": 1}}', ["line 1: the key 'b' occurs twice in one object"]),
        ('{"a": "\\ud83d"}', ["line 1: a string holds '.*ud83d', half of a character"]),
        ('{"a\\uDC00": 1}', ["line 1: a string holds '.*udc00', half of a character"]),
        (f"[{'[' * 5000}{']' * 5000}, 1]", ["record 0: its JSON is nested too deeply"]),
        ('{"a": ' + "9" * 5000 + "}", ["line 1: an integer has more than 4300 digits"]),
    ],
)
def test_each_bad_value_has_its_place(tmp_path, text, problems):
    path = write(tmp_path / "a.json", text)
    found = [record.problem for record in read_records(path, unit="record") if record.problem]
    assert len(found) == len(problems)
    for problem, expected in zip(found, problems, strict=True):
        with pytest.raises(ValueError, match=rf"a\.json, {expected}"):
            raise ValueError(problem)


def test_a_line_in_another_encoding_spoils_no_other_line(nlp, tmp_path):
    path = tmp_path / "a.jsonl"
    good, bad = json.dumps(DOCCANO).encode(), '{"id": "Łódź"}'.encode("iso-8859-2")
    path.write_bytes(b"\n".join([good, bad, good]))
    with pytest.raises(ValueError, match=r"a\.jsonl, line 2: not UTF-8 text"):
        read_annotations(path, nlp)
    docs, report = read_annotations(path, nlp, options=ReadingOptions(skip_bad=True))
    assert len(docs) == 2 and len(report.bad_records) == 1


@pytest.mark.parametrize("format_name", RECORDS)
@pytest.mark.parametrize("layout", [as_lines, as_pretty_array])
@pytest.mark.parametrize("bad", [None, [], 3, "text", {}, {"data": None}])
def test_every_format_names_all_bad_records(nlp, tmp_path, format_name, layout, bad):
    records = [RECORDS[format_name], bad, RECORDS[format_name], bad]
    path = write(tmp_path / "a.json", layout(records))
    with pytest.raises(ValueError, match=r"a\.json: 2 records cannot be read") as error:
        read_annotations(path, nlp)
    assert str(error.value).count(f"- {path}, ") == 2
    docs, report = read_annotations(path, nlp, options=ReadingOptions(skip_bad=True))
    assert len(docs) == 2 and len(report.bad_records) == 2


@pytest.mark.parametrize("format_name", RECORDS)
def test_a_deep_value_in_a_field_that_is_not_read_is_no_crash(nlp, tmp_path, format_name):
    text = as_lines([RECORDS[format_name]])[:-1] + ', "x": ' + "[" * 600 + "]" * 600 + "}"
    path = write(tmp_path / "a.jsonl", text)
    try:
        [_], _ = read_annotations(path, nlp)
    except ValueError as err:
        assert str(err).startswith(f"{path}, line 1")


def test_a_long_list_of_problems_is_cut():
    def refuse(item, report, where):
        raise ValueError("bad")

    items = [(f"line {number}", None) for number in range(MAX_LISTED + 5)]
    with pytest.raises(ValueError, match=r"205 records(.|\n)*- line 199: bad\n- and 5 more$"):
        collect_docs(items, refuse, ConversionReport(), skip_bad=False)


JSON_MIN = {"text": "Ann", "annotator": 1, "annotation_id": 4, "lead_time": 3.2}


@pytest.mark.parametrize(
    "record,advice",
    [
        (
            {"id": 1, "text": "Ann", "label": [], "annotator": 1, "lead_time": 3.2},
            "Label Studio's export JSON-MIN.*again as JSON",
        ),
        ({"my_text": "Ann", "ner": [], "annotation_id": 4}, "JSON-MIN.*again as JSON"),
        *(({**JSON_MIN, name: []}, "JSON-MIN") for name in ("entities", "spans", "tokens")),
        ({"id": 1, "text": "Ann", "label": [[0, 3, "PERSON"]]}, r"JSONL.*as JSONL\(Relation\)"),
        ({"id": 1, "data": "Ann", "labels": []}, r"doccano.*JSONL\(Relation\)"),
    ],
)
@pytest.mark.parametrize("layout", [as_lines, as_pretty_array])
@pytest.mark.parametrize("named", [True, False])
def test_an_export_without_relations_is_refused_with_the_right_one(
    nlp, tmp_path, record, advice, layout, named
):
    path = write(tmp_path / "a.json", layout([record, record]))
    format_name = None
    if named:
        format_name = "labelstudio" if "JSON-MIN" in advice else "doccano"
    with pytest.raises(ValueError, match=rf"a\.json: this is .*{advice}"):
        read_annotations(path, nlp, format_name=format_name)


@pytest.mark.parametrize(
    "record,expected",
    [
        ({"text": "Ann", "spans": []}, "prodigy"),
        ({"text": "Ann", "answer": "accept"}, "prodigy"),
        ({"text": "Ann", "_input_hash": 4}, "prodigy"),
        ({"text": "Ann", "tokens": []}, "prodigy"),
        ({"tokens": ["Ann"], "entities": []}, "spert"),
        ({"body": "Ann", "entities": [], "relations": []}, "doccano"),
        ({"data": {"text": "Ann"}, "completions": []}, "labelstudio"),
        ({"sentences": [["Ann"]], "ner": [[]]}, "dygiepp"),
    ],
)
def test_the_fields_of_the_first_object_show_the_format(tmp_path, record, expected):
    assert guess_format(write(tmp_path / "a.json", as_lines([None, record]))) == expected


@pytest.mark.parametrize("format_name", ["spert", "tablert", "dygiepp", "doccano", "prodigy"])
def test_relations_that_are_absent_stay_unset_in_every_format(nlp, tmp_path, format_name):
    record = dict(RECORDS[format_name])
    record.pop("relations", None)
    path = write(tmp_path / "a.json", as_lines([record]))
    [doc], report = read_annotations(path, nlp, format_name=format_name, strict=True)
    assert "spacy_tabcnn.relations" not in doc.user_data
    assert report.noted.total() == 1


@pytest.mark.parametrize("format_name", [None, "spert"])
def test_a_file_in_utf_16_is_refused_once(nlp, tmp_path, format_name):
    path = tmp_path / "a.jsonl"
    path.write_bytes(as_lines([SPERT] * 3).encode("utf-16"))
    with pytest.raises(ValueError, match=r"a\.jsonl: not UTF-8 text, but UTF-16\. Save"):
        read_annotations(path, nlp, format_name=format_name)


@pytest.mark.parametrize(
    "name,advice", [("a.csv", "as JSON"), ("a.CONLL", "as JSON"), ("a.zip", "Unpack the archive")]
)
def test_files_of_other_kinds_are_refused_with_advice(tmp_path, name, advice):
    with pytest.raises(ValueError, match=f"cannot detect .*{advice}.* Name it: spert"):
        guess_format(write(tmp_path / name, "Ann"))


def test_a_file_whose_records_are_all_bad_names_them(nlp, tmp_path):
    path = write(tmp_path / "a.json", "[{'a': 1}, {'b': 1}]")
    with pytest.raises(ValueError, match=r"2 records cannot be read(.|\n)*in record 1"):
        read_annotations(path, nlp)

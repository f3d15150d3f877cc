"""Files that no tool should write: each is refused with its place, or read without any loss."""

import json

import pytest
from spacy.tokens import Doc, Span

from spacy_tabcnn.corpora.formats import FORMATS, read_annotations, write_annotations

JSON_FORMATS = [name for name in FORMATS if name != "brat"]
# Each format's record of "Ann lives in Rome", with two entities and a relation.
RECORDS = {
    "spert": {
        "tokens": ["Ann", "lives", "in", "Rome"],
        "entities": [
            {"type": "PER", "start": 0, "end": 1},
            {"type": "LOC", "start": 3, "end": 4},
        ],
        "relations": [{"type": "LiveIn", "head": 0, "tail": 1}],
        "orig_id": 1,
    },
    "tablert": {
        "tokens": ["Ann", "lives", "in", "Rome"],
        "tags": ["U-PER", "O", "O", "U-LOC"],
        "relations": [{"type": "LiveIn", "head": 0, "tail": 1}],
        "orig_id": 1,
    },
    "dygiepp": {
        "doc_key": 1,
        "sentences": [["Ann", "lives", "in", "Rome"]],
        "ner": [[[0, 0, "PER"], [3, 3, "LOC"]]],
        "relations": [[[0, 0, 3, 3, "LiveIn"]]],
    },
    "doccano": {
        "id": 1,
        "text": "Ann lives in Rome",
        "entities": [
            {"id": 0, "start_offset": 0, "end_offset": 3, "label": "PER"},
            {"id": 1, "start_offset": 13, "end_offset": 17, "label": "LOC"},
        ],
        "relations": [{"id": 0, "from_id": 0, "to_id": 1, "type": "LiveIn"}],
    },
    "prodigy": {
        "text": "Ann lives in Rome",
        "spans": [
            {"start": 0, "end": 3, "token_start": 0, "token_end": 0, "label": "PER"},
            {"start": 13, "end": 17, "token_start": 3, "token_end": 3, "label": "LOC"},
        ],
        "relations": [
            {
                "head": 0,
                "child": 3,
                "head_span": {"start": 0, "end": 3},
                "child_span": {"start": 13, "end": 17},
                "label": "LiveIn",
            }
        ],
        "meta": {"id": 1},
        "answer": "accept",
    },
    "labelstudio": {
        "id": 1,
        "data": {"text": "Ann lives in Rome"},
        "annotations": [
            {
                "result": [
                    {
                        "id": "a",
                        "type": "labels",
                        "value": {"start": 0, "end": 3, "labels": ["PER"]},
                    },
                    {
                        "id": "b",
                        "type": "labels",
                        "value": {"start": 13, "end": 17, "labels": ["LOC"]},
                    },
                    {
                        "type": "relation",
                        "from_id": "a",
                        "to_id": "b",
                        "direction": "right",
                        "labels": ["LiveIn"],
                    },
                ]
            }
        ],
    },
}
DEEP = ["[" * depth + "]" * depth for depth in (500, 990, 1_000, 2_000, 100_000)]
DEEP += ['{"a":' * depth + "1" + "}" * depth for depth in (500, 990, 5_000, 100_000)]
NUMBERS = ["1" * 4_301, "-" + "9" * 100_000, "1e999", "-1e999", "NaN", "Infinity", "-Infinity"]
NUMBERS += [str(2**64), str(2**128), str(-(2**63) - 1), "1.5", "1e300"]
OTHERS = ["null", "true", "5", '"text"', "[]", "[[]]", "[null]", "{}"]
STRINGS = ['"\\ud800"', '"a\\uDFFFb"', '"\\u0000"', '""', '" "', '"\\ufeff"']
UNSAFE_IDS = ["../x", "a/b", "/abs", "C:\\x", "CON", "nul.txt", "Com1", "", " ", ".", "..", "~"]
UNSAFE_IDS += [".hidden", "n" * 252, "é" * 130, "a\x00b", "a\nb", "a:b", "x" * 100_000]


def list_places(value, path=()):
    """Return the places of all values in a record: the keys and indices that lead to them."""
    yield path
    items = []
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        yield from list_places(item, (*path, key))


def render(value, place, text):
    """Return the JSON of a record with another text in one of its places."""
    marked = json.loads(json.dumps(value))
    if not place:
        return text
    parent = marked
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = "\x01"
    return json.dumps(marked).replace('"\\u0001"', text)


def read_or_refuse(path, nlp, format_name):
    """Read a file. If it is refused, the message names the file and the record."""
    try:
        docs, report = read_annotations(path, nlp, format_name=format_name)
    except ValueError as err:
        message = str(err)
        assert type(err) is ValueError
        assert message.startswith(f"{path}, "), message
        assert len(message) < 1_000
        message.encode("utf-8")
        return message
    assert sum(len(doc.ents) for doc in docs) == report.entities.total()
    return ""


@pytest.mark.parametrize("name", JSON_FORMATS)
@pytest.mark.parametrize("texts", [DEEP, NUMBERS, OTHERS, STRINGS], ids=["deep", "1", "[]", "str"])
def test_any_value_in_any_place(nlp, tmp_path, name, texts):
    record = RECORDS[name]
    for place in list_places(record):
        for text in texts:
            content = f"{json.dumps(record)}\n{render(record, place, text)}\n"
            path = tmp_path / "a.jsonl"
            path.write_text(content, encoding="utf-8")
            message = read_or_refuse(path, nlp, name)
            assert not message or "line 2" in message


@pytest.mark.parametrize("name", JSON_FORMATS)
@pytest.mark.parametrize("text", [DEEP[4], DEEP[8], *NUMBERS[:2], *STRINGS[:2]])
def test_what_json_cannot_hold_is_refused_where_nothing_is_read(nlp, tmp_path, name, text):
    record = json.dumps({**RECORDS[name], "other": "\x01"})
    for content in (f"[{record}]", record, json.dumps(json.loads(record), indent=1)):
        path = tmp_path / "a.json"
        path.write_text(content.replace('"\\u0001"', text), encoding="utf-8")
        assert read_or_refuse(path, nlp, name)


@pytest.mark.parametrize("name", JSON_FORMATS)
def test_a_repeated_key_is_refused_in_any_place(nlp, tmp_path, name):
    record = RECORDS[name]
    path = tmp_path / "a.json"
    for place in list_places(record):
        value = record
        for key in place:
            value = value[key]
        if isinstance(value, dict):
            key = next(iter(value))
            repeated = f'{{"{key}": null, {json.dumps(value)[1:]}'
            path.write_text(f"[{render(record, place, repeated)}]", encoding="utf-8")
            assert f"the key {key!r} occurs twice" in read_or_refuse(path, nlp, name)


@pytest.mark.parametrize("name", JSON_FORMATS)
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_other_encodings_are_named(nlp, tmp_path, name, encoding):
    path = tmp_path / "a.json"
    path.write_bytes(json.dumps([RECORDS[name]]).encode(encoding))
    for format_name in (name, None):
        with pytest.raises(
            ValueError, match=rf"a\.json: not UTF-8 text, but UTF-{encoding[4:6]}\."
        ):
            read_annotations(path, nlp, format_name=format_name)


@pytest.mark.parametrize("name", JSON_FORMATS)
def test_latin_1_is_refused_with_its_byte(nlp, tmp_path, name):
    path = tmp_path / "a.json"
    content = json.dumps([{**RECORDS[name], "x": "é"}], ensure_ascii=False)
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=r"a\.json: not UTF-8 text \(byte \d+"):
        read_annotations(path, nlp, format_name=name)


@pytest.mark.parametrize("name", JSON_FORMATS)
@pytest.mark.parametrize("mark,end", [("\ufeff", "\n"), ("", "\r\n"), ("\ufeff", "\r\n")])
def test_a_mark_and_windows_line_ends_change_nothing(nlp, tmp_path, name, mark, end):
    path = tmp_path / "a.jsonl"
    lines = [json.dumps(RECORDS[name]), json.dumps(RECORDS[name])]
    path.write_bytes((mark + end.join(lines) + end).encode())
    docs, _ = read_annotations(path, nlp)
    assert [len(doc._.relations) for doc in docs] == [1, 1]


@pytest.mark.parametrize("content", ["", " \n\n", "\ufeff"])
@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_an_empty_file_is_named(nlp, tmp_path, content, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"a\{suffix}: the file is empty"):
        read_annotations(path, nlp)


@pytest.mark.parametrize("orig_id", UNSAFE_IDS)
def test_ids_that_cannot_name_a_file_of_brat_are_replaced_and_reported(nlp, tmp_path, orig_id):
    docs = [make_doc(nlp, orig_id), make_doc(nlp, "doc0"), make_doc(nlp, "fine")]
    report = write_annotations(tmp_path / "out", docs, format_name="brat")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["doc0.ann", "doc0.txt", "doc0_1.ann", "doc0_1.txt", "fine.ann", "fine.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert list(report.noted.values()) == [2]


@pytest.mark.parametrize("ids", [("a", "a"), ("a", "A"), ("é", "e\u0301"), (1, "1")])
def test_ids_that_a_file_system_may_take_for_one(nlp, tmp_path, ids):
    docs = [make_doc(nlp, orig_id) for orig_id in ids]
    write_annotations(tmp_path / "out", docs, format_name="brat")
    back, _ = read_annotations(tmp_path / "out", nlp)
    assert len(back) == 2


@pytest.mark.parametrize(
    "text", ["\ufeffAnn left", "\ufeff\ufeffAnn", "a\ufeff", "\ufeff", "\x00a"]
)
@pytest.mark.parametrize("name", ["brat", "doccano", "labelstudio", "prodigy"])
def test_a_leading_mark_belongs_to_the_text(nlp, tmp_path, text, name):
    doc = nlp.make_doc(text)
    doc.set_ents([Span(doc, 0, 1, label="PER")])
    doc._.relations = []
    write_annotations(tmp_path / "out", [doc], format_name=name)
    [back], _ = read_annotations(tmp_path / "out", nlp, format_name=name)
    assert (back.text, [ent.text for ent in back.ents]) == (text, [doc[0].text])


@pytest.mark.parametrize(
    "line",
    [
        "T1\tPER 99 103\tRome",
        "T1\tPER 3 0\tAnn",
        "T1\tPER -1 3\tAnn",
        "T1\tPER 0 " + "9" * 5_000 + "\tAnn",
        "T1\tPER 0 3;99 100\tAnn",
        "T1\tPER ٠ ٣\tAnn",
        "T1\tPER 0 3",
        "T1",
        "T1\tPER 0 3\tRome",
        "R1\tLiveIn Arg1:T1 Arg2:T9",
        "E1\tLive:T9",
        "x" * 100_000,
        "\x00",
        "\ufeffT2\tPER 0 3\tAnn",
    ],
)
def test_lines_of_brat_name_their_place(nlp, tmp_path, line):
    (tmp_path / "a.txt").write_text("Ann left", encoding="utf-8")
    (tmp_path / "a.ann").write_text(f"#1\tNote\tx\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"a\.ann, line 2") as caught:
        read_annotations(tmp_path, nlp)
    assert len(str(caught.value)) < 600


def make_doc(nlp, orig_id):
    doc = Doc(nlp.vocab, words=["Ann"])
    doc.set_ents([Span(doc, 0, 1, label="PER")])
    doc._.relations = []
    doc.user_data["orig_id"] = orig_id
    return doc

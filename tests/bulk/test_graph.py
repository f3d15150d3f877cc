import csv
import json
import sys

import pytest

from spacy_tabcnn.bulk.graph import make_graph, write_graph
from spacy_tabcnn.bulk.mentions import normalise

TEXTS = ["ANN lives in  Rome .", "Zoe\u0301 😀\x01 and ann live in Rome."]


def make_row(text, entities, relations, **fields):
    return {
        **fields,
        "text": text,
        "entities": [
            {
                "start": text.index(name),
                "end": text.index(name) + len(name),
                "label": label,
                "score": score,
            }
            for name, label, score in entities
        ],
        "relations": [
            {"head": head, "tail": tail, "label": label, "score": score}
            for head, tail, label, score in relations
        ],
    }


@pytest.fixture
def annotated(tmp_path, write_jsonl):
    rows = [
        make_row(TEXTS[0], [("ANN", "PER", 0.9), ("Rome", "LOC", None)], [(0, 1, "LiveIn", 0.8)]),
        make_row(
            TEXTS[1],
            [("Zoe\u0301 😀\x01", "PER", 0.9), ("ann", "PER", 0.6), ("Rome", "LOC", 0.9)],
            [(0, 2, "LiveIn", 0.9), (1, 2, "LiveIn", 0.7), (1, 0, "Knows", None)],
            id="second",
        ),
    ]
    return write_jsonl(tmp_path / "in.jsonl", rows)


@pytest.mark.parametrize(
    "text,other",
    [
        ("ANN", "ann"),
        ("New \n York", "new york"),
        ("Zoe\u0301", "Zoé"),
        ("Straße", "STRASSE"),
        ("ﬁ", "FI"),
    ],
)
def test_spellings_of_a_name_are_one(text, other):
    assert normalise(text) == normalise(other)


def test_mentions_of_an_entity_are_one_node(annotated):
    pytest.importorskip("networkx")
    graph = make_graph(annotated)
    assert set(graph) == {("ann", "PER"), ("rome", "LOC"), ("zoé 😀\x01", "PER")}
    ann = graph.nodes["ann", "PER"]
    assert (ann["text"], ann["label"]) == ("ANN", "PER")
    assert ann["mentions"] == [
        ("row 1", 0, 3, "ANN", "PER", 0.9),
        ("second", 12, 15, "ann", "PER", 0.6),
    ]


def test_an_edge_says_where_it_was_found(annotated):
    pytest.importorskip("networkx")
    graph = make_graph(annotated)
    first, second = graph["ann", "PER"]["rome", "LOC"].values()
    arguments = {
        "head_start": 0,
        "head_end": 3,
        "head_text": "ANN",
        "tail_start": 14,
        "tail_end": 18,
    }
    assert first == {
        "label": "LiveIn",
        "document": "row 1",
        "score": 0.8,
        "tail_text": "Rome",
        **arguments,
    }
    assert (
        second["document"] == "second"
        and TEXTS[1][second["head_start"] : second["head_end"]] == "ann"
    )
    [knows] = graph["ann", "PER"]["zoé 😀\x01", "PER"].values()
    assert knows["label"] == "Knows" and "score" not in knows


def test_min_score_leaves_out_entities_and_relations(annotated):
    pytest.importorskip("networkx")
    assert make_graph(annotated, min_score=0.75).number_of_edges() == 2  # the entity "ann" has less
    graph = make_graph(annotated, min_score=0.85)
    assert [data["score"] for *_, data in graph.edges(data=True)] == [0.9]
    assert len(graph.nodes["ann", "PER"]["mentions"]) == 1


def test_graphml_keeps_the_graph(annotated, tmp_path):
    nx = pytest.importorskip("networkx")
    assert write_graph(annotated, tmp_path / "new" / "out.graphml") == 4
    expected = make_graph(annotated)
    graph = nx.read_graphml(tmp_path / "new" / "out.graphml", force_multigraph=True)
    assert {node: data["label"] for node, data in graph.nodes(data=True)} == {
        str(node): node[1] for node in expected
    }

    def get_edges(graph):
        return sorted(
            (
                str(head),
                str(tail),
                sorted((name, str(item).replace("\x01", "\ufffd")) for name, item in data.items()),
            )
            for head, tail, data in graph.edges(data=True)
        )

    assert get_edges(graph) == get_edges(expected)
    ann = graph.nodes[str(("ann", "PER"))]
    mentions = [list(mention.values()) for mention in json.loads(ann["mentions"])]
    assert mentions == [list(mention) for mention in expected.nodes["ann", "PER"]["mentions"]]
    assert ann["n_mentions"] == 2


def test_csv_has_a_row_for_each_mention_and_needs_no_networkx(annotated, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "networkx", None)
    assert write_graph(annotated, tmp_path / "out.csv") == 4
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file_:
        rows = list(csv.DictReader(file_))
    assert [
        (row["head"], row["relation"], row["tail"], row["document"], row["score"]) for row in rows
    ] == [
        ("ann", "LiveIn", "rome", "row 1", "0.8"),
        ("zoé 😀\x01", "LiveIn", "rome", "second", "0.9"),
        ("ann", "LiveIn", "rome", "second", "0.7"),
        ("ann", "Knows", "zoé 😀\x01", "second", ""),
    ]
    for row in rows:
        text = TEXTS[row["document"] == "second"]
        for role in ("head", "tail"):
            assert text[int(row[f"{role}_start"]) : int(row[f"{role}_end"])] == row[f"{role}_text"]
    with pytest.raises(ImportError, match=r'pip install "spacy-tabcnn\[graph\]"'):
        write_graph(annotated, tmp_path / "out.graphml")


def test_parquet_gives_the_same_graph(annotated, tmp_path, read_jsonl):
    nx = pytest.importorskip("networkx")
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(
        pa.Table.from_pylist([{"id": None, **row} for row in read_jsonl(annotated)]),
        tmp_path / "in.parquet",
    )
    graph = make_graph(tmp_path / "in.parquet")
    assert nx.utils.graphs_equal(graph, make_graph(annotated))


ENTITY = {"start": 0, "end": 1, "label": "A", "score": 0.5}
RELATION = {"head": 0, "tail": 0, "label": "R", "score": None}


@pytest.mark.parametrize(
    "record,message",
    [
        ({"text": "a"}, "the field 'entities' is missing"),
        ({"body": "a"}, "there is no field 'text'.*--text-field"),
        ({"entities": None}, "the field 'entities' is null; expected a list"),
        ({"entities": [5]}, "entity 0: found an integer, 5; expected an object"),
        ({"entities": [ENTITY, {}]}, "entity 1: the field 'start' is missing"),
        (
            {"entities": [{**ENTITY, "start": "0"}]},
            "entity 0: the field 'start' is a string, \"0\"",
        ),
        ({"entities": [{**ENTITY, "end": 1.0}]}, "entity 0: the field 'end' is a number"),
        ({"entities": [{**ENTITY, "end": True}]}, "entity 0: the field 'end' is a truth value"),
        ({"entities": [{**ENTITY, "end": 9}]}, r"entity 0: it spans characters 0 to 9"),
        ({"entities": [{**ENTITY, "start": -1}]}, r"entity 0: it spans characters -1 to 1"),
        ({"entities": [{**ENTITY, "label": None}]}, "entity 0: the field 'label' is null"),
        ({"entities": [{**ENTITY, "label": ""}]}, "entity 0: the field 'label' is ''"),
        ({"entities": [{**ENTITY, "score": "0.5"}]}, "entity 0: the field 'score' is a string"),
        (
            {"entities": [{**ENTITY, "score": 10**400}]},
            "entity 0: the field 'score' is an integer",
        ),
        ({"entities": [{**ENTITY, "score": True}]}, "entity 0: the field 'score' is a truth value"),
        (
            {"entities": [{**ENTITY, "score": float("nan")}]},
            "entity 0: the field 'score' is a number",
        ),
        ({"relations": {}}, "the field 'relations' is an object"),
        ({"relations": ["R"]}, "relation 0: found a string"),
        ({"relations": [{**RELATION, "head": -1}]}, "relation 0: the field 'head' is -1; expected"),
        ({"relations": [{**RELATION, "tail": 1}]}, "relation 0: the field 'tail' is 1; expected"),
        ({"relations": [{**RELATION, "tail": None}]}, "relation 0: the field 'tail' is null"),
        ({"relations": [{**RELATION, "label": 3}]}, "relation 0: the field 'label' is an integer"),
        ({"relations": [{**RELATION, "score": [1]}]}, "relation 0: the field 'score' is a list"),
    ],
)
def test_other_rows_are_refused(tmp_path, write_jsonl, record, message):
    good = {"text": "a", "entities": [ENTITY], "relations": [RELATION]}
    if len(record.keys() & {"text", "body"}) == 0:
        record = {**good, **record}
    source = write_jsonl(tmp_path / "in.jsonl", [good, record])
    (tmp_path / "out.csv").write_text("old")
    with pytest.raises(ValueError, match=rf"in.jsonl, line 2[,:] {message}"):
        write_graph(source, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "old"


def test_a_bad_row_of_parquet_is_named(tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [{"text": "a", "entities": [ENTITY], "relations": [{**RELATION, "tail": 4}]}]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    with pytest.raises(ValueError, match=r"in.parquet, row 1, relation 0: the field 'tail' is 4"):
        write_graph(tmp_path / "in.parquet", tmp_path / "out.csv")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_no_cell_of_csv_is_a_formula(tmp_path, write_jsonl, start):
    text = f"{start}1+1"
    row = make_row(text, [(text, text, 0.5)], [(0, 0, text, 0.5)], id=text)
    write_graph(write_jsonl(tmp_path / "in.jsonl", [row]), tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file_:
        [cells] = csv.DictReader(file_)
    for name in ("head_label", "head_text", "relation", "tail_text", "document"):
        assert cells[name] == f"'{text}"
    assert not cells["head"].startswith(("=", "+", "-", "@"))


def test_the_output_is_not_the_input(annotated):
    annotated = annotated.rename(annotated.with_suffix(".csv"))
    with pytest.raises(ValueError, match="is the input too"):
        write_graph(annotated, annotated)


def test_another_suffix_is_refused(annotated, tmp_path):
    with pytest.raises(ValueError, match=r"out.xml: .* expected .graphml, .csv, .* or .cypher"):
        write_graph(annotated, tmp_path / "out.xml")

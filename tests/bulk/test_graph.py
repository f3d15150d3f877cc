import csv
import json
import sys

import pytest

from spacy_tabcnn.bulk.graph import make_graph, normalise, write_graph

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
        ("1", 0, 3, "ANN", "PER", 0.9),
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
        "document": "1",
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
        ("ann", "LiveIn", "rome", "1", "0.8"),
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


@pytest.mark.parametrize(
    "record,message",
    [
        ({"text": "a"}, "line 1: malformed entities or relations .*'entities'"),
        (
            {"text": "a", "entities": [], "relations": [{"head": -1, "tail": 0}]},
            r"line 1: malformed .*KeyError: -1",
        ),
        ({"body": "a"}, "line 1: there is no field 'text'.*--text-field"),
    ],
)
def test_other_rows_are_refused(tmp_path, write_jsonl, record, message):
    with pytest.raises(ValueError, match=message):
        write_graph(write_jsonl(tmp_path / "in.jsonl", [record]), tmp_path / "out.csv")


def test_another_suffix_is_refused(annotated, tmp_path):
    with pytest.raises(ValueError, match=r"out.json: .* expected .graphml or .csv"):
        write_graph(annotated, tmp_path / "out.json")

"""The formats of a graph, and that no text of a document breaks out of one of them."""

import csv
import json
import re
import string
import sys
import warnings
from collections import Counter
from pathlib import Path

import pytest

from spacy_tabcnn.bulk import graph_neo4j, graph_rdf
from spacy_tabcnn.bulk.graph import make_graph, write_graph
from spacy_tabcnn.bulk.mentions import (
    KEY_FUNCTIONS,
    merge_by_exact_text,
    merge_by_text_and_label,
    read_mentions,
)

# Each is a text and a label in one document.
HOSTILE = [
    "'}) DETACH DELETE e //",
    '"; DROP',
    "`]->() //",
    "``",
    "\\",
    "\\'",
    "\\\\'",
    "\\u0027 \\U00000027 \\\\u0060",
    "a\\",
    "a;b|c,d",
    'x"\\',
    "line\nbreak\r\nand\ttab",
    '""" .\n<a> <b> <c> .',
    "> <urn:x> .",
    "$apoc.cypher",
    "=1+1",
    "@SUM(A1)",
    "-2",
    "..",
    "%2e/%00",
    "#fragment?query",
    "\x01\x0b\x7f\x85\u2028",
    "Ωμέγα 日本語 עברית",
    "😀👩‍👩‍👧",
    "_:b0",
    "null",
    "{@id}",
    "@type",
]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory, write_jsonl):
    """Each text as two entities with a relation, and with itself as the labels and the id."""
    rows = []
    for text in HOSTILE:
        start, end = len(text) + 1, 2 * len(text) + 1
        entities = [
            {"start": 0, "end": len(text), "label": text, "score": 0.1 + 0.2},
            {"start": start, "end": end, "label": "Other", "score": None},
        ]
        relations = [{"head": 0, "tail": 1, "label": text, "score": 1e-7}]
        rows.append(
            {"id": text, "text": f"{text} {text}", "entities": entities, "relations": relations}
        )
    return write_jsonl(tmp_path_factory.mktemp("hostile") / "in.jsonl", rows)


def split_cypher(script):
    """Divide a script into statements of tokens: values, names, and all other characters."""
    statements, tokens, position = [], [], 0
    pattern = re.compile(r"'((?:[^'\\]|\\.)*)'|`((?:[^`]|``)*)`|([^'`;])|(;)", re.DOTALL)
    while position < len(script):
        match = pattern.match(script, position)
        assert match, script[position : position + 80]
        value, name, other, end = match.groups()
        if end:
            statements.append(tokens)
            tokens = []
        elif other is None:
            tokens.append(("name", name) if value is None else ("value", value))
        elif tokens and tokens[-1][0] == "code":
            tokens[-1] = ("code", tokens[-1][1] + other)
        else:
            tokens.append(("code", other))
        position = match.end()
    assert "".join(text for _, text in tokens).strip() == ""
    return statements


def unescape(value):
    """Return the text of a string literal in Cypher."""
    codes = {"n": "\n", "r": "\r", "t": "\t"}
    return re.sub(r"\\(.)", lambda match: codes.get(match[1], match[1]), value, flags=re.DOTALL)


def get_values(statement):
    """Return the values of a statement; two strings that "+" joins are one."""
    values, is_joined = [], False
    for kind, text in statement:
        if kind == "value":
            if is_joined:
                values[-1] += unescape(text)
            else:
                values.append(unescape(text))
        is_joined = kind == "code" and text == " + "
    return values


def get_code(statement):
    """Return the code of a statement without its values and names."""
    code = "".join(text if kind == "code" else f"<{kind}>" for kind, text in statement)
    return re.sub(r"<value>( \+ <value>)+", "<value>", code.strip())


def decode_early(script):
    """Replace escape sequences of code points anywhere, as old versions of Neo4j do first."""
    return re.sub(r"\\[uU]([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), script)


NODE = (
    "MERGE (e:Entity {id: <value>}) SET e:<name>, e.text = <value>, e.label = <value>, "
    "e.n_mentions = 0, e.mentions = <value>"
)
EDGE = (
    "MATCH (h:Entity {id: <value>}), (t:Entity {id: <value>}) MERGE (h)-[r:<name> {document: "
    "<value>, head_start: 0, head_end: 0, tail_start: 0, tail_end: 0}]->(t) SET r.label = <value>, "
    "r.score = 0e-0, r.head_text = <value>, r.tail_text = <value>"
)


@pytest.mark.parametrize("read", [str, decode_early])
def test_no_text_changes_the_code_of_a_cypher_script(hostile, tmp_path, read):
    assert write_graph(hostile, tmp_path / "out.cypher") == len(HOSTILE)
    script = read((tmp_path / "out.cypher").read_bytes().decode("utf-8"))
    constraint, *statements = split_cypher(script)
    assert get_code(constraint).startswith("CREATE CONSTRAINT entity_id IF NOT EXISTS FOR")
    shapes = Counter(re.sub(r"\d+", "0", get_code(statement)) for statement in statements)
    assert shapes == {NODE: 2 * len(HOSTILE), EDGE: len(HOSTILE)}


def test_a_cypher_script_holds_the_exact_texts(hostile, tmp_path):
    write_graph(hostile, tmp_path / "out.cypher")
    _, *statements = split_cypher((tmp_path / "out.cypher").read_bytes().decode("utf-8"))
    nodes, edges = statements[: 2 * len(HOSTILE)], statements[2 * len(HOSTILE) :]
    assert [get_values(node)[2] for node in nodes[::2]] == HOSTILE
    assert [get_values(edge)[2] for edge in edges] == HOSTILE
    ids = [get_values(node)[0] for node in nodes]
    assert [get_values(edge)[:2] for edge in edges] == [
        [head, tail] for head, tail in zip(ids[::2], ids[1::2], strict=True)
    ]


def test_a_name_in_cypher_has_no_backslash_and_doubles_backticks():
    assert graph_neo4j.quote_name("born `in` \\u0060;\n") == "`born ``in`` _u0060__`"
    assert graph_neo4j.quote_value("\\u0027\\n") == "'\\\\' + 'u0027\\\\n'"


@pytest.fixture
def neo4j(hostile, tmp_path):
    assert write_graph(hostile, tmp_path / "neo4j", format_name="neo4j") == len(HOSTILE)
    return tmp_path / "neo4j"


def read_import(path):
    """Read a file of Neo4j's import: a line is a row. Return the header and the rows."""
    lines = re.split("[\r\n]", path.read_bytes().decode("utf-8"))
    assert lines.pop() == ""
    header, *rows = csv.reader(lines, strict=True)
    return header, [dict(zip(header, row, strict=True)) for row in rows]


def test_the_headers_are_those_of_the_import(neo4j):
    header, _ = read_import(neo4j / "nodes.csv")
    assert header[0] == "id:ID(Entity)" and header[-1] == ":LABEL"
    others = header[1:-1]
    header, _ = read_import(neo4j / "relationships.csv")
    assert header[:3] == [":START_ID(Entity)", ":END_ID(Entity)", ":TYPE"]
    types = {"string", "long", "double"}
    assert all(re.fullmatch(r"\w+:(\w+)", name)[1] in types for name in others + header[3:])


def test_each_row_of_the_import_is_a_line_with_the_ids_of_nodes(neo4j):
    _, nodes = read_import(neo4j / "nodes.csv")
    _, edges = read_import(neo4j / "relationships.csv")
    ids = [node["id:ID(Entity)"] for node in nodes]
    assert len(ids) == len(set(ids)) == 2 * len(HOSTILE)
    assert [(edge[":START_ID(Entity)"], edge[":END_ID(Entity)"]) for edge in edges] == list(
        zip(ids[::2], ids[1::2], strict=True)
    )
    assert all(len(node[":LABEL"].split(";")) == 2 for node in nodes)
    assert {float(edge["score:double"]) for edge in edges} == {1e-7}


def test_no_cell_of_the_import_is_a_formula(neo4j):
    for name in ("nodes.csv", "relationships.csv"):
        _, rows = read_import(neo4j / name)
        cells = [cell for row in rows for cell in row.values()]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t"))]


def test_formulas_can_be_kept(hostile, tmp_path):
    write_graph(hostile, tmp_path, format_name="neo4j", keep_formulas=True)
    _, nodes = read_import(tmp_path / "nodes.csv")
    expected = [re.sub("[\r\n]+", " ", text) for text in HOSTILE]
    assert [node["label:string"] for node in nodes[::2]] == expected
    write_graph(hostile, tmp_path / "out.csv", keep_formulas=True)
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file_:
        assert [row["relation"] for row in csv.DictReader(file_)] == HOSTILE


def test_the_folder_has_the_script_too(neo4j, hostile, tmp_path):
    write_graph(hostile, tmp_path / "out.cypher")
    assert (neo4j / "graph.cypher").read_bytes() == (tmp_path / "out.cypher").read_bytes()


def test_other_files_of_the_folder_stay(hostile, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    write_graph(hostile, tmp_path, format_name="neo4j")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "graph.cypher",
        "nodes.csv",
        "notes.txt",
        "relationships.csv",
    ]


def test_networkx_reads_the_json(hostile, tmp_path):
    nx = pytest.importorskip("networkx")
    assert write_graph(hostile, tmp_path / "out.json") == len(HOSTILE)
    content = json.loads((tmp_path / "out.json").read_bytes())
    graph, expected = nx.node_link_graph(content, edges="edges"), make_graph(hostile)
    assert [(data["text"], data["label"]) for _, data in graph.nodes(data=True)] == [
        (data["text"], data["label"]) for _, data in expected.nodes(data=True)
    ]
    assert [data for *_, data in graph.edges(data=True)] == [
        data for *_, data in expected.edges(data=True)
    ]
    mentions = [list(node["mentions"][0].values()) for node in graph.nodes.values()]
    assert mentions == [list(node["mentions"][0]) for node in expected.nodes.values()]


def read_rdf(path, format_name):
    rdflib = pytest.importorskip("rdflib", reason="needs the extra graph")
    graph = rdflib.Graph()
    with warnings.catch_warnings():
        # The reader of JSON-LD uses a class that rdflib has deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        graph.parse(path, format=format_name)
    return graph


def query_mentions(graph):
    """Return the mentions of entities and of relations in a graph of RDF."""
    entities, relations = [], []
    names = f"PREFIX nif: <{graph_rdf.NIF}> PREFIX itsrdf: <{graph_rdf.ITSRDF}> "
    names += f"PREFIX terms: <{graph_rdf.DEFAULT_BASE}terms/>"
    for row in graph.query(
        names + " SELECT ?id ?start ?end ?text ?label ?score { ?m a nif:Phrase; nif:anchorOf ?text;"
        " nif:beginIndex ?start; nif:endIndex ?end; nif:referenceContext/dcterms:identifier ?id;"
        " itsrdf:taClassRef/rdfs:label ?label; itsrdf:taIdentRef/rdf:type/rdfs:label ?label."
        " OPTIONAL { ?m terms:score ?score } }"
    ):
        *values, score = (value.toPython() for value in row if value is not None)
        if len(values) == 4:
            values, score = [*values, score], None
        entities.append((*values, score and float(score)))
    for row in graph.query(
        names + " SELECT ?id ?head ?label ?tail ?score { ?s a rdf:Statement;"
        " rdf:subject ?h; rdf:predicate ?r; rdf:object ?t; terms:score ?score;"
        " prov:wasDerivedFrom/dcterms:identifier ?id; terms:head/nif:anchorOf ?head;"
        " terms:tail/nif:anchorOf ?tail. ?r rdfs:label ?label. ?h ?r ?t }"
    ):
        *values, score = (value.toPython() for value in row)
        relations.append((*values, float(score)))
    return set(entities), set(relations)


@pytest.mark.parametrize("suffix,format_name", [(".ttl", "turtle"), (".jsonld", "json-ld")])
def test_rdf_holds_the_mentions_with_their_places_and_scores(
    hostile, tmp_path, suffix, format_name
):
    pytest.importorskip("rdflib", reason="needs the extra graph")
    output = tmp_path / f"out{suffix}"
    assert write_graph(hostile, output) == len(HOSTILE)
    entities, relations = query_mentions(read_rdf(output, format_name))
    mentions = list(read_mentions(hostile))
    assert entities == {tuple(entity) for found, _ in mentions for entity in found}
    assert relations == {
        (head.document, head.text, label, tail.text, score)
        for _, found in mentions
        for head, tail, label, score in found
    }


@pytest.mark.parametrize("suffix,format_name", [(".ttl", "turtle"), (".jsonld", "json-ld")])
def test_rdf_has_no_more_triples_than_were_made(hostile, tmp_path, suffix, format_name):
    pytest.importorskip("rdflib", reason="needs the extra graph")
    write_graph(hostile, tmp_path / f"out{suffix}")
    made = graph_rdf.make_rdf(read_mentions(hostile), key=merge_by_text_and_label)
    assert set(read_rdf(tmp_path / f"out{suffix}", format_name)) == set(made)


def test_all_iris_begin_with_the_base_or_a_known_vocabulary(hostile, tmp_path):
    rdflib = pytest.importorskip("rdflib", reason="needs the extra graph")
    base = "https://example.org/graph/"
    write_graph(hostile, tmp_path / "out.ttl", base=base)
    known = (base, str(rdflib.RDF), str(rdflib.RDFS), graph_rdf.NIF, graph_rdf.ITSRDF)
    others = (str(rdflib.DCTERMS), str(rdflib.PROV))
    allowed = set(string.ascii_letters + string.digits + "%_-~/")
    for triple in read_rdf(tmp_path / "out.ttl", "turtle"):
        for iri in triple:
            if isinstance(iri, rdflib.URIRef):
                assert str(iri).startswith((*known, *others))
                assert not str(iri).startswith(base) or set(str(iri).removeprefix(base)) <= allowed


@pytest.mark.parametrize(
    "base", ["", "graph/", "http://a b/", "http://a/>", "urn:a", "http://a/\n"]
)
def test_another_base_is_refused(hostile, tmp_path, base):
    with pytest.raises(ValueError, match="expected an absolute IRI"):
        write_graph(hostile, tmp_path / "out.ttl", base=base)


def test_without_rdflib_the_extra_is_named(hostile, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rdflib", None)
    with pytest.raises(ImportError, match=r'pip install "spacy-tabcnn\[graph\]"'):
        write_graph(hostile, tmp_path / "out.ttl")


MERGED = ["Rome", "ROME", "Rome"], ["LOC", "LOC", "GPE"]


@pytest.mark.parametrize(
    "name,n_nodes", [("text-label", 2), ("exact", 3), ("text", 1), ("none", 3)]
)
@pytest.mark.parametrize("suffix", [".json", ".graphml", ".cypher"])
def test_a_key_function_merges_entities(tmp_path, write_jsonl, name, n_nodes, suffix):
    if suffix == ".graphml":
        pytest.importorskip("networkx")
    entities = [
        {"start": 5 * index, "end": 5 * index + 4, "label": label, "score": None}
        for index, label in enumerate(MERGED[1])
    ]
    row = {"text": " ".join(MERGED[0]), "entities": entities, "relations": []}
    source = write_jsonl(tmp_path / "in.jsonl", [row])
    write_graph(source, tmp_path / f"out{suffix}", key=KEY_FUNCTIONS[name])
    content = (tmp_path / f"out{suffix}").read_text(encoding="utf-8")
    pattern = {".json": '"n?id":', ".graphml": "<node ", ".cypher": "MERGE "}[suffix]
    assert len(re.findall(pattern, content)) == n_nodes


def test_a_key_function_names_the_nodes_of_the_table(tmp_path, write_jsonl):
    entity = {"start": 0, "end": 1, "label": "A", "score": None}
    relation = {"head": 0, "tail": 0, "label": "R", "score": None}
    row = {"text": "A", "entities": [entity], "relations": [relation]}
    source = write_jsonl(tmp_path / "in.jsonl", [row])
    write_graph(source, tmp_path / "out.csv", key=merge_by_exact_text)
    assert (tmp_path / "out.csv").read_text().splitlines()[1].startswith("A,A,A,0,1,")


def test_an_unknown_format_is_refused(hostile, tmp_path):
    with pytest.raises(
        ValueError, match="unknown format 'dot' of a graph; expected one of graphml"
    ):
        write_graph(hostile, tmp_path / "out.csv", format_name="dot")


def run_example(title, folder, monkeypatch):
    """Run an example of the page on graphs, and return its names."""
    page = (Path(__file__).parents[2] / "docs" / "graph.md").read_text(encoding="utf-8")
    [code] = re.findall(rf'^```python title="{title}"\n(.*?)^```', page, re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(folder)
    names = {}
    exec(code, names)
    return names


@pytest.fixture
def annotated(tmp_path, write_jsonl):
    entities = [
        {"start": 0, "end": 3, "label": "PER", "score": 0.9},
        {"start": 13, "end": 17, "label": "LOC", "score": 0.9},
    ]
    relations = [{"head": 0, "tail": 1, "label": "LiveIn", "score": 0.8}]
    row = {"text": "Ann lives in Rome", "entities": entities, "relations": relations}
    return write_jsonl(tmp_path / "annotated.jsonl", [row])


@pytest.mark.filterwarnings("ignore")
def test_the_example_for_langchain_makes_a_graph_document(annotated, monkeypatch):
    pytest.importorskip("networkx")
    pytest.importorskip("langchain_community", reason="needs langchain-community")
    document = run_example("langchain_graph.py", annotated.parent, monkeypatch)["graph_document"]
    assert {(node.id, node.type) for node in document.nodes} == {("Ann", "PER"), ("Rome", "LOC")}
    [relationship] = document.relationships
    assert (relationship.source.id, relationship.type, relationship.target.id) == (
        "Ann",
        "LiveIn",
        "Rome",
    )
    assert relationship.properties == {"document": "row 1", "score": 0.8}


@pytest.mark.filterwarnings("ignore")
def test_the_example_for_llamaindex_fills_a_store(annotated, monkeypatch):
    pytest.importorskip("networkx")
    pytest.importorskip("llama_index.core", reason="needs llama-index-core")
    store = run_example("llamaindex_graph.py", annotated.parent, monkeypatch)["store"]
    [(head, relation, tail)] = store.get_triplets(entity_names=["Ann"])
    assert (head.name, relation.label, tail.name) == ("Ann", "LiveIn", "Rome")
    assert relation.properties == {"document": "row 1", "score": 0.8}

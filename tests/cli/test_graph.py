import pytest


@pytest.fixture(scope="module")
def annotated(run_spacy, tiny_run, tmp_path_factory):
    """A sentence of the training data, annotated."""
    folder = tmp_path_factory.mktemp("annotated")
    source, output = folder / "in.txt", folder / "annotated.jsonl"
    source.write_text(
        "Soichiro Honda founded the Honda Motor Company in Hamamatsu, a city in Japan.\n",
        encoding="utf-8",
    )
    result = run_spacy("tabcnn", "annotate", tiny_run / "model-last", source, output)
    assert result.exit_code == 0, result.output
    return output


@pytest.mark.parametrize("suffix", ["graphml", "csv", "json", "cypher"])
def test_graph_reads_what_annotate_wrote(run_spacy, annotated, tmp_path, suffix):
    if suffix == "graphml":
        pytest.importorskip("networkx")
    output = tmp_path / f"out.{suffix}"
    result = run_spacy("tabcnn", "graph", annotated, output, "--min-score", "0.1")
    assert result.exit_code == 0, result.output
    assert "relations in" in result.output and output.stat().st_size


def test_graph_refuses_other_files(run_spacy, annotated, tmp_path):
    result = run_spacy("tabcnn", "graph", annotated, tmp_path / "out.png")
    assert result.exit_code == 1 and "Could not make the graph" in result.output


def test_graph_fills_a_folder_for_neo4j(run_spacy, annotated, tmp_path):
    arguments = ("tabcnn", "graph", annotated, tmp_path / "neo4j", "--format", "neo4j")
    assert run_spacy(*arguments, "--merge", "exact").exit_code == 0
    names = sorted(path.name for path in (tmp_path / "neo4j").iterdir())
    assert names == ["graph.cypher", "nodes.csv", "relationships.csv"]


@pytest.mark.parametrize(
    "option,message",
    [(("--merge", "label"), "--merge is 'label'"), (("--format", "dot"), "unknown format 'dot'")],
)
def test_graph_refuses_unknown_choices(run_spacy, annotated, tmp_path, option, message):
    result = run_spacy("tabcnn", "graph", annotated, tmp_path / "out.csv", *option)
    assert result.exit_code == 1 and message in result.output

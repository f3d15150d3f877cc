import pytest
import srsly

from spacy_tabcnn.corpora.docbin import write_docbin


@pytest.fixture
def corpus(make_doc, tmp_path):
    """A folder with a train.spacy and a dev.spacy; one label of dev is unknown."""
    entities, relations = [(0, 1, "PER"), (3, 4, "LOC")], [(0, 1, "LiveIn")]
    train = [
        make_doc(f"{name} lives in Rome .", entities, relations) for name in ("Ann", "Bob", "Eve")
    ]
    dev = [make_doc("Kim lives in UNO .", [(0, 1, "PER"), (3, 4, "ORG")], relations)]
    write_docbin(tmp_path / "train.spacy", train)
    write_docbin(tmp_path / "dev.spacy", dev)
    return tmp_path


def flat(result):
    """The output without the line breaks that depend on the terminal's width."""
    return " ".join(result.output.split())


def test_figures_of_both_corpora_are_printed(run_spacy, corpus):
    result = run_spacy("tabcnn", "debug-data", corpus / "train.spacy", corpus / "dev.spacy")
    assert result.exit_code == 0, result.output
    output = flat(result)
    assert "documents 3 1" in output and "words 15 5" in output
    assert "PER 3 1 LOC 3 0 ORG 0 1" in output
    assert "LiveIn (PER -> LOC) 3 0 LiveIn (PER -> ORG) 0 1" in output
    assert "relation, first word to last (dev) 4 4 4" in output


def test_warnings_say_what_where_and_what_to_do(run_spacy, corpus):
    output = flat(run_spacy("tabcnn", "debug-data", corpus / "train.spacy", corpus / "dev.spacy"))
    assert "train: entity labels with fewer than 10 examples (6)" in output
    assert "- LOC: 3 (document 0) - PER: 3 (document 0) Too few to learn from." in output
    assert "dev: entity labels that train lacks (1)" in output
    assert "- ORG: 1 (document 0) They are never predicted." in output
    assert "4 warnings. Documents are counted from 0" in output


def test_dev_is_optional(run_spacy, corpus):
    result = run_spacy("tabcnn", "debug-data", corpus / "train.spacy", "--min-count", "3")
    assert result.exit_code == 0
    assert "dev" not in result.output and "Nothing to complain of" in result.output


def test_max_length_is_that_of_the_tables(run_spacy, corpus):
    result = run_spacy(
        "tabcnn", "debug-data", corpus / "train.spacy", "--max-length", "3", "--min-count", "0"
    )
    assert "relations across windows (max_length is 3): 3 (document 0)" in flat(result)


def test_many_cases_are_cut_short(run_spacy, make_doc, tmp_path):
    entities = [(0, 1, "PER"), (1, 2, "PER")]
    docs = [make_doc(f"Ann Bob {i}", entities, [(0, 1, f"R{i}")]) for i in range(7)]
    write_docbin(tmp_path / "train.spacy", docs)
    output = flat(run_spacy("tabcnn", "debug-data", tmp_path / "train.spacy"))
    assert "R4: 1 (document 4) - and 2 more" in output


def test_figures_are_saved(run_spacy, corpus):
    output = corpus / "new" / "figures.json"
    result = run_spacy(
        "tabcnn", "debug-data", corpus / "train.spacy", corpus / "dev.spacy", "--output", output
    )
    assert result.exit_code == 0
    figures = srsly.read_json(output)
    assert figures["train"]["entities"] == {"PER": 3, "LOC": 3}
    assert figures["dev"]["sizes"]["documents"] == 1
    [finding] = [
        finding
        for finding in figures["findings"]
        if finding["what"] == "entity labels that train lacks"
    ]
    assert finding["level"] == "warning" and finding["corpus"] == "dev"
    assert finding["cases"] == [{"name": "ORG", "times": 1, "document": 0}]


@pytest.mark.parametrize(
    "entities,message", [([], "train: no entity"), ([(0, 1, "PER")], "train: no relation")]
)
def test_what_cannot_be_trained_on_is_an_error(run_spacy, make_doc, tmp_path, entities, message):
    write_docbin(tmp_path / "train.spacy", [make_doc("Ann left", entities, [])])
    result = run_spacy(
        "tabcnn", "debug-data", tmp_path / "train.spacy", "-o", tmp_path / "out.json"
    )
    assert result.exit_code == 1
    assert message in result.output
    assert (tmp_path / "out.json").is_file()


@pytest.mark.parametrize("names", [("none.spacy",), ("train.spacy", "none.spacy"), ("bad.spacy",)])
def test_an_unreadable_file_is_an_error(run_spacy, corpus, names):
    (corpus / "bad.spacy").write_text("[]")
    result = run_spacy("tabcnn", "debug-data", *(corpus / name for name in names))
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert names[-1] in flat(result)

"""The pages of the documentation, and the text that the build adds to them."""

import re
from importlib.metadata import distribution
from pathlib import Path

import pytest
import spacy
import typer.main
from spacy.tokens import Doc, DocBin, Span
from thinc.api import Config

from spacy_tabcnn.cli import tabcnn_cli
from spacy_tabcnn.corpora.docbin import read_docbin

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
README_LINKS = re.findall(r"\]\((?!http)([^)#]+)", README) + re.findall(
    r'src(?:set)?="(.+?)"', README
)


def read_snippet(page, title):
    """Return the code block of a page that has this title."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    [code] = re.findall(rf'^```python title="{title}"\n(.*?)^```', text, re.DOTALL | re.MULTILINE)
    return code


def test_all_groups_of_registered_names_are_in_the_reference():
    text = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    groups = {entry.group for entry in distribution("spacy-tabcnn").entry_points} - {"spacy_cli"}
    assert set(re.findall(r"<!-- registered: (\w+) -->", text)) == groups


def test_registered_names_bring_their_docstrings(pages):
    page = pages.on_page_markdown("# Layers\n\n<!-- registered: thinc_layers -->\n")
    assert "::: spacy_tabcnn.models.pooling.build_reduce_max" in page
    assert "heading: 'spacy-tabcnn.mix_layers.v1'" in page


def test_names_of_one_thing_are_described_once(pages):
    text = pages.render_group("spacy_factories")
    assert text.count("::: spacy_tabcnn.pipeline.relation_table.make_relation_table") == 1
    assert "heading: 'relation_table, tabcnn'" in text


def test_an_unknown_group_is_named(pages):
    with pytest.raises(ValueError, match="'spacy_toys'"):
        pages.on_page_markdown("<!-- registered: spacy_toys -->")


def test_the_default_config_of_a_component_can_be_loaded(pages):
    config = Config().from_str("[components]\n\n" + pages.render_defaults("spert"))
    nlp = spacy.blank("en")
    settings = {
        key: value for key, value in config["components"]["spert"].items() if key != "factory"
    }
    assert nlp.add_pipe("spert", config=settings).cfg["min_score"] == 0.4


def test_every_command_is_described_with_its_options_and_examples(pages):
    text = pages.on_page_markdown("<!-- commands -->")
    for name, command in typer.main.get_command(tabcnn_cli).commands.items():
        assert f"## `spacy tabcnn {name}`" in text
        for option in command.params:
            assert all(flag in text for flag in option.opts if flag.startswith("--"))
    example = "spacy tabcnn annotate training/sample/model-best docs.parquet annotated.parquet"
    assert f"\n{example} --text-field" in text
    assert "EXAMPLE" not in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_page_is_in_the_navigation(page):
    assert f" {page.name}\n" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize("link", sorted(set(README_LINKS)))
def test_the_links_of_the_readme_lead_somewhere(link):
    assert (ROOT / link).exists()


def test_the_corpus_that_the_page_on_data_makes_can_be_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(read_snippet("data.md", "make_corpus.py"), {})
    doc, nothing = read_docbin("train.spacy", spacy.blank("en").vocab)
    assert [(head.text, label, tail.text) for head, tail, label, _ in doc._.relations] == [
        ("Soichiro Honda", "founded", "Honda Motor Company")
    ]
    assert nothing._.relations == ()


def test_relations_of_the_tutorial_are_converted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Doc.set_extension("rel", default={}, force=True)
    doc = Doc(
        spacy.blank("en").vocab,
        words=["Ada", "Lovelace", "met", "Charles", "Babbage", "in", "London"],
    )
    doc.ents = [
        Span(doc, 0, 2, label="PER"),
        Span(doc, 3, 5, label="PER"),
        Span(doc, 6, 7, label="LOC"),
    ]
    doc._.rel = {(0, 3): {"met": 0.9, "wrote": 0.2}, (0, 6): {"met": 0.1}, (3, 6): {"in": 0.6}}
    DocBin(docs=[doc], store_user_data=True).to_disk("rel.spacy")
    try:
        exec(read_snippet("migration.md", "convert_rel.py"), {})
    finally:
        Doc.remove_extension("rel")
    [converted] = read_docbin("train.spacy", spacy.blank("en").vocab)
    assert [
        (head.text, label, tail.text, score) for head, tail, label, score in converted._.relations
    ] == [
        ("Ada Lovelace", "met", "Charles Babbage", 0.9),
        ("Charles Babbage", "in", "London", 0.6),
    ]
    assert converted._.relations[0].head.label_ == "PER"


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("index.md", "add_pipe.py"),
        ("loop.md", "agreement.py"),
        ("training.md", "training_loop.py"),
        ("head.md", "table_cnn.py"),
    ],
)
def test_other_code_of_the_pages_runs(page, title):
    exec(read_snippet(page, title), {})

"""The report: the paper's figures, ours beside them, and what is missing."""

import base64
import json
import re
import subprocess
import sys

import pytest

from experiments.differences import compare_systems
from experiments.figures import make_panels
from experiments.grid import Run, make_grid
from experiments.heldout import ScoredSystem, read_test_scores, save_test_scores
from experiments.overview import describe_missing
from experiments.paper import read_paper
from experiments.parameters import make_parameter_table
from experiments.render import to_html, to_markdown
from experiments.report import make_report, write_report
from experiments.results import (
    MEASURES,
    RunResult,
    ScoreSummary,
    Study,
    gather_counts,
    join_alike,
    read_saved_study,
    sort_systems,
    summarise,
    summarise_study,
)
from experiments.sections import ListSection, TableSection
from experiments.tables import make_corpus_table, make_layer_tables, make_test_table

from ..browser import SCHEMES, WIDTHS, check_page, open_file
from ..conftest import ROOT
from .fakes import make_counts, make_scores

CONFIG = """
[components]

[components.transformer]
factory = "transformer"

[components.relation_table]
factory = "tabcnn"

[components.relation_table.model]
@architectures = "spacy-tabcnn.TableModel.v1"

[components.relation_table.model.head]
@architectures = "spacy-tabcnn.TableCNN.v1"
kernel_size = 3
hidden = [512,256]

[training]
dropout = 0.3
max_steps = 3480

[training.batcher]
size = 8

[training.optimizer]

[training.optimizer.learn_rate]
rate = 5e-5
warmup = 0.2
total_steps = null

[training.optimizer.head_learn_rate]
rate = 1e-3
"""
SHIPPED = sorted((ROOT / "docs" / "report").glob("*.jsonl"))
COUNTS = {"sentences": 922, "entity_types": 4, "relation_types": 5}


def complete(run):
    scores = make_scores(run)
    counts = {prefix: make_counts(scores[f"{prefix}_f"]) for prefix in MEASURES.values()}
    return RunResult(run, "complete", scores, counts, 30.0)


@pytest.fixture
def make_study():
    """Make a study with fake scores; runs whose name holds `missing` have none."""

    def make(
        *,
        layers=(0, 1),
        states=(True, False),
        seeds=(1, 2),
        missing=None,
        systems=("TabERT", "TabERT-CNN"),
    ):
        runs = make_grid(systems, layers=layers, states=states, seeds=seeds)
        results = [
            RunResult(run, "waiting", {}, {})
            if missing is not None and missing in run.name
            else complete(run)
            for run in runs
        ]
        corpus = {"name": "CoNLL04", "train": COUNTS, "dev": {**COUNTS, "sentences": 231}}
        settings = {
            "encoder": "minilm",
            "corpus": corpus,
            "systems": dict.fromkeys(systems, CONFIG),
        }
        return Study("layers", settings, results)

    return make


def find_rows(table, *cells):
    """The rows of a table that begin with the given cells."""
    return [list(row) for row in table.rows if list(row[: len(cells)]) == list(cells)]


def test_means_and_standard_deviations_are_over_seeds(make_study):
    summaries = summarise_study(make_study(), "NER")
    found = summaries["TabERT", False, 1]
    assert (found.mean, found.sd, found.n_runs) == pytest.approx((21.5, 0.5**0.5, 2))
    assert str(found) == "21.5 ± 0.7"
    assert len(summaries) == 2 * 2 * 2


def test_one_seed_has_no_standard_deviation_and_no_seed_no_mean(make_study):
    study = make_study(missing="layer1-seed2")
    found = summarise_study(study, "NER")["TabERT", False, 1]
    assert found.mean == pytest.approx(21) and (found.sd, found.n_runs) == (None, 1)
    assert str(summarise([0.21])) == "21.0"
    assert ("TabERT", False, 1) not in summarise_study(make_study(missing="layer1"), "NER")


def test_counts_have_one_row_for_each_seed(make_study):
    study = make_study(layers=[4], missing="updated-layer4-seed2")
    assert gather_counts(study, ("TabERT", True, 4), "NER").sum(1).tolist() == [
        [9, 11, 11],
        [9, 11, 11],
    ]
    assert gather_counts(study, ("TabERT", False, 4), "NER").shape == (1, 20, 3)


def test_studies_under_the_same_conditions_are_compared(make_study):
    one, other = make_study(), make_study(systems=("PFN",))
    joined = join_alike([one, other])
    assert [study.name for study in joined] == ["layers, layers"]
    assert joined[0].results == [*one.results, *other.results]
    assert set(joined[0].settings["systems"]) == {"TabERT", "TabERT-CNN", "PFN"}
    systems = {(found.first, found.second) for found in compare_systems(joined[0])}
    assert systems == {("TabERT-CNN", "TabERT"), ("TabERT-CNN", "PFN"), ("TabERT", "PFN")}


def test_studies_under_other_conditions_stay_apart(make_study):
    study = make_study()
    more_seeds = make_study(seeds=(3,))
    other_config = more_seeds._replace(
        settings={**more_seeds.settings, "systems": {"TabERT": "", "TabERT-CNN": ""}}
    )
    other = make_study(systems=("PFN",))
    other_encoder = other._replace(settings={**other.settings, "encoder": "mpnet"})
    unknown = other._replace(settings={})
    for alike in (study, other_config, other_encoder, unknown):
        assert join_alike([study, alike]) == [study, alike]
    assert len(join_alike([study, more_seeds])) == 1
    unnamed = [part._replace(settings={"encoder": "minilm"}) for part in (study, other)]
    assert join_alike(unnamed) == unnamed


def test_systems_have_the_order_of_the_papers_legend():
    assert sort_systems(["Z", "SpERT", "A", "TabERT", "TabERT-CNN"]) == [
        "TabERT-CNN",
        "TabERT",
        "SpERT",
        "A",
        "Z",
    ]


def test_the_papers_numbers_are_in_its_tables_without_any_study():
    tables = make_layer_tables([])
    row = [
        "TabERT-CNN",
        "frozen",
        "paper, bert-base",
        "80.3",
        "81.1",
        "83.1",
        "85.1",
        "86.6",
        "86.2",
        "86.0",
        "85.9",
    ]
    assert row in [list(row) for row in tables[0].rows]
    assert list(tables[0].header[3:]) == ["0", "1", "2", "4", "6", "8", "10", "12"]
    assert len(tables[0].rows) == len(tables[1].rows) == 6
    assert tables[2].rows == []
    assert "CoNLL04 unless a row says otherwise" in tables[0].notes[1]
    assert tables[0].notes[1].startswith("Micro F1 in percent")


def test_ours_stand_below_the_papers(make_study):
    table = make_layer_tables([make_study(layers=[0, 1, 3])])[0]
    assert list(table.header[3:]) == ["0", "1", "2", "3", "4", "6", "8", "10", "12"]
    paper, ours = find_rows(table, "TabERT", "updated")
    assert paper[2] == "paper, bert-base" and paper[3:6] == ["66.9", "78.2", "84.1"]
    assert ours[2:7] == ["ours (2 seeds), minilm", "11.5 ± 0.7", "21.5 ± 0.7", "–", "41.5 ± 0.7"]
    assert [row[:2] for row in find_rows(table, "SpERT")] == [
        ["SpERT", "frozen"],
        ["SpERT", "updated"],
    ]


def test_a_table_of_an_unfinished_study_says_so(make_study):
    table = make_layer_tables([make_study(missing="updated-layer1-seed2")])[0]
    assert find_rows(table, "TabERT", "updated")[1][2:5] == [
        "ours (1–2 seeds), minilm",
        "11.5 ± 0.7",
        "21.0",
    ]
    table = make_layer_tables([make_study(missing="updated")])[0]
    assert find_rows(table, "TabERT", "updated")[1][2:5] == ["ours (not run), minilm", "–", "–"]


def test_relations_with_and_without_types_are_two_tables(make_study):
    _, relations, strict = make_layer_tables([make_study(seeds=[1])])
    assert find_rows(relations, "TabERT", "updated")[1][4] == "11.0"
    assert find_rows(strict, "TabERT", "updated")[0][4] == "1.0"


def test_test_scores_stand_below_the_papers(tmp_path):
    for seed, score in ((1, 0.80), (2, 0.90)):
        scores = {f"{measure}_f": score for measure in MEASURES.values()}
        (tmp_path / f"test{seed}.json").write_text(json.dumps(scores))
    scores = read_test_scores([f"CoNLL04/TabERT-CNN/minilm={tmp_path}/test*.json"])
    table = make_test_table(scores)
    assert find_rows(table, "CoNLL04", "SpERT", "BERT_BASE") == [
        ["CoNLL04", "SpERT", "BERT_BASE", "paper", "88.9", "–", "71.5"]
    ]
    ours = ["CoNLL04", "TabERT-CNN", "minilm", "ours (2 seeds)", *["85.0 ± 7.1"] * 3]
    rows = [list(row) for row in table.rows]
    assert rows.index(ours) == 5 and rows[6][0] == "ACE05"


def test_test_scores_of_ade_are_macro_averages_over_folds(tmp_path):
    for fold, score in ((0, 0.80), (1, 0.90)):
        scores = {f"{measure}_macro_f": score for measure in MEASURES.values()}
        (tmp_path / f"test{fold}.json").write_text(json.dumps(scores))
    table = make_test_table(read_test_scores([f"ADE/TabERT-CNN/minilm={tmp_path}/test*.json"]))
    ours = ["ADE", "TabERT-CNN", "minilm", "ours (2 folds)", *["85.0 ± 7.1"] * 3]
    assert [list(row) for row in table.rows][-1] == ours


@pytest.mark.parametrize(
    "text",
    ["CoNLL04=none.json", "CoNLL04/TabERT/minilm=none.json", "a/b/c/d=setup.cfg", "none.json"],
)
def test_test_scores_that_cannot_be_read(text):
    with pytest.raises(ValueError, match="CORPUS/SYSTEM/ENCODER=FILES"):
        read_test_scores([text])


def test_test_scores_of_another_kind(tmp_path):
    (tmp_path / "test.json").write_text('{"ents_f": 1.0}')
    with pytest.raises(ValueError, match="ents_macro_f"):
        read_test_scores([f"ADE/TabERT/minilm={tmp_path}/test.json"])


@pytest.mark.parametrize("text", ["[1]", '{"ents_f": 0.', '{"ents_f": [1]}'])
def test_test_scores_that_are_damaged(tmp_path, text):
    (tmp_path / "test.json").write_text(text)
    with pytest.raises(ValueError, match=r"test\.json: cannot be read"):
        read_test_scores([f"CoNLL04/TabERT/minilm={tmp_path}/test.json"])


def test_test_scores_of_one_system_twice(tmp_path):
    for seed in (1, 2):
        scores = {f"{measure}_f": 0.5 for measure in MEASURES.values()}
        (tmp_path / f"test{seed}.json").write_text(json.dumps(scores))
    texts = [f"CoNLL04/TabERT/minilm={tmp_path}/test{seed}.json" for seed in (1, 2)]
    with pytest.raises(ValueError, match=r"test2\.json' are of a system that has scores already"):
        read_test_scores(texts)


def test_saved_test_scores_are_the_scores(tmp_path):
    scores = {
        ScoredSystem("ADE", "PFN", "minilm, 8 epochs"): [ScoreSummary(89.04, 1.5, 3)] * 3,
        ScoredSystem("CoNLL04", "TabERT", "minilm"): [*map(ScoreSummary, (85.0, 66.0, 65.5))],
    }
    path = tmp_path / "layer=6" / "test_scores.json"
    path.parent.mkdir()
    save_test_scores(scores, path)
    assert read_test_scores([str(path)]) == scores
    file_ = tmp_path / "test1.json"
    file_.write_text(json.dumps({f"{measure}_f": 0.5 for measure in MEASURES.values()}))
    text = f"CoNLL04/PFN/minilm={file_}"
    assert [*read_test_scores([str(path), text])] == [*scores, ("CoNLL04", "PFN", "minilm")]
    with pytest.raises(ValueError, match="of a system that has scores already"):
        read_test_scores([text, text.replace("PFN", "TabERT"), str(path)])


@pytest.mark.parametrize(
    "text",
    [
        "[1]",
        "{}}",
        '[{"corpus": "ADE"',
        '[{"corpus": "ADE", "system": "PFN", "encoder": 1}]',
        '[{"corpus": "ADE", "system": "PFN", "encoder": "minilm", "NER": {"mean": "89"}}]',
    ],
)
def test_saved_test_scores_that_are_damaged(tmp_path, text):
    path = tmp_path / "test_scores.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"test_scores\.json: cannot be read .* of a report"):
        read_test_scores([str(path)])


def test_a_report_is_written_again_from_its_files(make_study, tmp_path):
    file_ = tmp_path / "test1.json"
    file_.write_text(json.dumps({f"{measure}_f": 0.5 for measure in MEASURES.values()}))
    first, second = tmp_path / "first", tmp_path / "second"
    write_report([make_study()], first, test_scores=[f"CoNLL04/PFN/minilm={file_}"])
    saved = first / "test_scores.json"
    write_report([read_saved_study(first / "layers.jsonl")], second, test_scores=[str(saved)])
    names = {path.name for path in first.iterdir()}
    assert "test_scores.json" in names and names == {path.name for path in second.iterdir()}
    for name in names:
        assert (second / name).read_bytes() == (first / name).read_bytes()
    with pytest.raises(ValueError, match=r"test_scores\.json: is the input too"):
        write_report([make_study()], first, test_scores=[str(saved)])


def test_sizes_of_corpora(make_study):
    table = make_corpus_table([make_study()])
    assert find_rows(table, "CoNLL04") == [
        ["CoNLL04", "paper", "922", "231", "288", "4", "5"],
        ["CoNLL04", "ours", "922", "231", "–", "4", "5"],
    ]
    assert find_rows(table, "ADE")[0][2] == "4272 (10-fold cross-validation)"


def test_hyper_parameters_are_those_of_the_configs(make_study):
    table = make_parameter_table([make_study(systems=["TabERT-CNN"])])
    assert table.header[-1] == "CoNLL04, TabERT-CNN, ours"
    columns = {row[0]: (row[1], row[-1]) for row in table.rows}
    assert columns == {
        "Kernel": ("3 × 3", "3 × 3"),
        "Layers": ("2", "3"),
        "Hidden channels": ("512", "512, 256"),
        "Batch size": ("8", "8"),
        "Learning rate of the encoder": ("5e-05", "5e-05"),
        "Learning rate of the rest": ("0.001", "0.001"),
        "Dropout": ("0.3", "0.3"),
        "Warm-up (share of the steps)": ("0.2", "0.2"),
        "Epochs": ("30", "30"),
    }


def test_epochs_of_a_config_that_counts_its_steps(make_study):
    study = make_study(systems=["TabERT-CNN"])
    text = study.settings["systems"]["TabERT-CNN"].replace("max_steps = 3480", "max_steps = 0")
    text += "\n[initialize]\n\n[initialize.before_init]\nn_epochs = 12\n"
    settings = {**study.settings, "systems": {"TabERT-CNN": text}}
    table = make_parameter_table([study._replace(settings=settings)])
    assert table.rows[-1][-1] == "12"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs").glob("*.cfg")), ids=lambda path: path.stem
)
def test_hyper_parameters_of_every_shipped_config(make_study, path):
    study = make_study(systems=["TabERT-CNN"])
    systems = {"TabERT-CNN": path.read_text(encoding="utf-8")}
    table = make_parameter_table([study._replace(settings={**study.settings, "systems": systems})])
    columns = {row[0]: row[-1] for row in table.rows}
    is_cnn = "TableCNN" in systems["TabERT-CNN"]
    assert (columns["Kernel"] != "–") == (columns["Hidden channels"] != "–") == is_cnn


@pytest.mark.parametrize(
    "end, epochs", [("\n[vars]\nsteps = 348\n", "3"), ("", "–"), ("\n[paths]\nx = 1\n", "–")]
)
def test_hyper_parameters_that_are_variables(make_study, end, epochs):
    study = make_study(systems=["TabERT-CNN"])
    text = study.settings["systems"]["TabERT-CNN"].replace("3480", "${vars.steps}")
    text = text.replace("[components.transformer]", "[components.transformer]\nx = ${paths.x}")
    settings = {**study.settings, "systems": {"TabERT-CNN": text + end}}
    table = make_parameter_table([study._replace(settings=settings)])
    assert (table.rows[3][-1], table.rows[-1][-1]) == ("8", epochs)


def test_what_is_missing_is_said(make_study):
    study = make_study(missing="layer1-seed2")
    results = [
        *study.results,
        RunResult(Run("TabERT", 9, frozen=True, layer=0), "fail", {}, {}, None, "OSError: disk"),
    ]
    lines = describe_missing(
        [study._replace(results=results)], {("CoNLL04", "TabERT-CNN", "BERT_BASE"): []}
    )
    assert (
        "Table 1, CoNLL04 with the paper's encoder: SpERT/BERT_BASE, "
        "Table-Sequence/ALBERT_XXLARGE, " in lines[0]
    )
    assert "TabERT-CNN/BERT_BASE" not in lines[0]
    assert "Tables 2 and 3: SpERT, encoder frozen and updated" in lines
    assert "Tables 2 and 3 with the paper's encoder, bert-base" in lines
    assert any(
        line.startswith("Study 'layers': 4 of 17 runs waiting: TabERT-frozen-layer1-seed2")
        for line in lines
    )
    assert "Study 'layers': 1 of 17 runs failed: TabERT-frozen-layer0-seed9" in lines
    assert "Study 'layers', 1 run: OSError: disk" in lines


def test_panels_of_figures_hold_the_papers_curves_and_ours(make_study):
    rows = make_panels([make_study(layers=[0, 1, 3])], states=[True, False])
    assert [[panel.title for panel in row] for row in rows] == [
        ["Entities (NER), paper", "Relations (RE), paper"],
        ["Entities (NER), ours, minilm", "Relations (RE), ours, minilm"],
    ]
    assert [series.label for series in rows[0][0].series] == [
        "TabERT-CNN (updated)",
        "TabERT-CNN (frozen)",
        "TabERT (updated)",
        "TabERT (frozen)",
        "SpERT (updated)",
        "SpERT (frozen)",
    ]
    assert (
        rows[0][1].series[1].mean == read_paper()["table3_re_dev_conll04"]["TabERT-CNN"]["frozen"]
    )
    ours = rows[1][0].series[0]
    assert ours.layers == [0, 1, 3] and ours.mean == pytest.approx([11.5, 21.5, 41.5])
    assert [series.label for series in make_panels([], states=[False])[0][0].series] == [
        "TabERT-CNN (updated)",
        "TabERT (updated)",
        "SpERT (updated)",
    ]


def test_a_report_has_the_papers_tables_and_figures_in_order(make_study):
    titles = [section.title for section in make_report([make_study(layers=[0])], {})]
    assert [title.split(":")[0].split(",")[0] for title in titles] == [
        "What was run",
        "Table 1",
        "Table 2",
        "Table 3",
        "Table 3",
        "Figure 2",
        "Figure 3",
        "The paper's order of the systems (CoNLL04",
        "Differences between systems (CoNLL04",
        "Table 4",
        "Table 5",
        "What was not run",
    ]


def test_searches_are_no_layer_studies():
    search = Study("tune", {}, [complete(Run("TabERT", 1, number=1))])
    first = make_report([search], {})[0]
    assert first.lines[1] == "No layer study was run"


def test_markdown_and_html_of_a_table(tmp_path):
    sections = [
        TableSection("A & B", ["Name", "F1"], [["x|y", "1.0"], ["paper", "–"]], ["A note"]),
        ListSection("C", ["one"]),
    ]
    markdown = to_markdown(sections)
    assert (
        "## A & B\n\n| Name | F1 |\n| --- | --- |\n| x\\|y | 1.0 |\n| paper | – |\n\nA note\n"
        in markdown
    )
    assert "## C\n\n- one.\n" in markdown
    html = to_html(sections, tmp_path)
    assert "<h2>A &amp; B</h2>" in html and '<td>x|y</td><td class="number">1.0</td>' in html
    assert '<tr class="paper"><td>paper</td>' in html
    assert "Not run." in to_markdown([TableSection("D", ["Name"], [])])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A report on a study that is not finished."""
    runs = make_grid(["TabERT-CNN", "TabERT"], layers=[0, 1], seeds=[1, 2])
    results = [complete(run) for run in runs[:6]] + [
        RunResult(run, "running", {}, {}) for run in runs[6:]
    ]
    folder = tmp_path_factory.mktemp("report") / "out"
    write_report(
        [Study("layers", {"encoder": "minilm", "corpus": {"name": "CoNLL04"}}, results)], folder
    )
    return folder


def test_files_of_a_report(folder):
    figures = {f"figure{number}.{suffix}" for number in (2, 3) for suffix in ("json", "png", "svg")}
    assert {path.name for path in folder.iterdir()} == {
        "report.md",
        "report.html",
        "layers.jsonl",
        *figures,
    }


def test_a_saved_study_is_the_study_without_unfinished_runs(folder, tmp_path):
    study = read_saved_study(folder / "layers.jsonl")
    assert study.name == "layers" and study.encoder == "minilm"
    assert len(study.results) == len(study.complete) == 6
    write_report([study], tmp_path)
    assert (tmp_path / "layers.jsonl").read_bytes() == (folder / "layers.jsonl").read_bytes()


def test_the_files_of_results_are_not_replaced(folder, tmp_path):
    path = tmp_path / "earlier.jsonl"
    path.write_text((folder / "layers.jsonl").read_text().rstrip("\n"))
    before = path.read_bytes()
    study = read_saved_study(path)
    write_report([study], tmp_path, results=[path])
    assert path.read_bytes() == before and (tmp_path / "report.md").exists()
    other = study._replace(name="other")
    (tmp_path / "other.jsonl").hardlink_to(path)
    write_report([other], tmp_path, results=[path])
    assert path.read_bytes() == before


def test_the_files_of_test_scores_are_not_replaced(folder, tmp_path):
    path = tmp_path / "figure2.json"
    path.write_text(json.dumps({f"{measure}_f": 0.5 for measure in MEASURES.values()}))
    study = read_saved_study(folder / "layers.jsonl")
    with pytest.raises(ValueError, match=r"figure2\.json: is the input too"):
        write_report([study], tmp_path, test_scores=[f"CoNLL04/TabERT/minilm={path}"])


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_results_have_other_names_than_the_study_of_the_project(path):
    with path.open(encoding="utf-8") as file_:
        header = json.loads(file_.readline())
    assert header["study"] == read_saved_study(path).name != "layers"


def test_the_page_needs_no_other_file(folder):
    page = (folder / "report.html").read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)="([^"]{40})', page)
    assert len(sources) == 2 and all(
        source.startswith("data:image/svg+xml;base64,") for source in sources
    )
    image = re.search(r'base64,([^"]+)"', page)[1]
    assert base64.b64decode(image) == (folder / "figure2.svg").read_bytes()


def test_the_data_of_a_figure_are_saved(folder):
    rows = json.loads((folder / "figure2.json").read_text())
    assert (
        rows[0][0]["series"][0]["mean"]
        == read_paper()["table2_ner_dev_conll04"]["TabERT-CNN"]["updated"]
    )
    assert rows[1][0]["series"][0]["layers"] == [0, 1]
    assert rows[0][0]["x"] == "encoder layer" and rows[0][0]["y"] == "F1 in percent"


def test_figures_are_the_same_whenever_they_are_drawn(folder, tmp_path):
    runs = make_grid(["TabERT-CNN", "TabERT"], layers=[0, 1], seeds=[1, 2])
    study = Study("layers", {"encoder": "minilm"}, [complete(run) for run in runs])
    contents = []
    for name in ("one", "two"):
        write_report([study], tmp_path / name)
        contents.append((tmp_path / name / "figure3.svg").read_bytes())
    assert contents[0] == contents[1]


def test_summaries_are_shown_with_one_digit():
    assert str(ScoreSummary(70.04, 0.25, 5)) == "70.0 ± 0.2"


def test_results_can_be_read_without_spacy_models_or_matplotlib():
    code = (
        "import sys, experiments.report\n"
        "print([name for name in ('matplotlib', 'optuna', 'transformers') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_and_is_accessible(browser, folder, width, scheme):
    page = open_file(browser, folder / "report.html", width=width, scheme=scheme)
    check_page(page)
    assert page.problems == []
    page.close()

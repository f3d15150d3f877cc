"""The registered names, and the shipped configs that use them."""

import re
import subprocess
import sys
from configparser import ConfigParser
from importlib.metadata import distribution
from pathlib import Path

import pytest
import spacy
from spacy.training import Example
from spacy.util import load_config, load_model_from_config
from spacy_transformers.util import registry
from thinc.api import Config

from spacy_tabcnn.pipeline.base import RelationPipe
from spacy_tabcnn.pipeline.sentence_starts import SentenceStarts

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").glob("*.cfg"))
ENTRY_POINTS = distribution("spacy-tabcnn").entry_points
PUBLIC_IMPORTS = re.findall(
    r"^from spacy_tabcnn.* import .+$",
    (ROOT / "docs" / "public-api.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)
FACTORIES = [ep.name for ep in ENTRY_POINTS if ep.group == "spacy_factories"]
FUNCTIONS = [ep for ep in ENTRY_POINTS if ep.group not in ("spacy_factories", "spacy_cli")]


def name_of(item):
    return item.stem if isinstance(item, Path) else f"{item.group}-{item.name}"


@pytest.fixture(scope="module", params=CONFIGS, ids=name_of)
def config(request):
    """The path of a shipped config."""
    return request.param


@pytest.fixture(scope="module")
def filled(run_spacy, config, tmp_path_factory):
    """The path of a shipped config with all its defaults."""
    path = tmp_path_factory.mktemp("filled") / config.name
    result = run_spacy("init", "fill-config", config, path)
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture(scope="module")
def paths(config, tiny_corpus, tiny_encoder):
    """Options that replace the corpus and the encoder of a config."""
    options = (
        "--paths.train",
        tiny_corpus,
        "--paths.dev",
        tiny_corpus,
        "--paths.encoder",
        tiny_encoder,
    )
    # The embeddings and the only layer of the tiny encoder.
    if config.stem in ("conll04_frozen", "conll04_pairs", "conll04_pairs_frozen"):
        options += ("--components.relation_table.model.tok2vec.*.encoder.pooling.n_layers", 2)
    if config.stem == "conll04_table_sequence":
        options += ("--components.relation_table.model.tok2vec.pooling.n_layers", 2)
    return options


def test_the_installed_entry_points_are_those_of_the_source():
    source = ConfigParser(delimiters="=")
    source.optionxform = str
    source.read(ROOT / "setup.cfg", encoding="utf-8")
    listed = {
        (group, *(part.strip() for part in line.split("=")))
        for group, lines in source["options.entry_points"].items()
        for line in lines.strip().splitlines()
    }
    # A failure may only mean that setup.cfg has changed: install the project again.
    assert {(ep.group, ep.name, ep.value) for ep in ENTRY_POINTS} == listed


@pytest.mark.parametrize("entry_point", FUNCTIONS, ids=name_of)
def test_registered_functions_resolve_through_spacy(entry_point):
    package, group = entry_point.group.split("_", maxsplit=1)
    assert package in ("spacy", "thinc")
    assert registry.get(group, entry_point.name) is entry_point.load()


@pytest.mark.parametrize("entry_point", FUNCTIONS, ids=name_of)
def test_registered_functions_carry_the_name_of_the_package_and_a_version(entry_point):
    assert re.fullmatch(r"spacy-tabcnn\.[A-Za-z][A-Za-z0-9_]*\.v[1-9][0-9]*", entry_point.name)


@pytest.mark.parametrize("name", FACTORIES)
def test_factories_make_a_component_in_a_blank_pipeline(name):
    pipe = spacy.blank("en").add_pipe(name)
    assert isinstance(pipe, RelationPipe | SentenceStarts)
    assert pipe.name == name


def test_loading_the_entry_points_loads_no_transformers():
    code = (
        "import sys\n"
        "from importlib.metadata import distribution\n"
        "for entry_point in distribution('spacy-tabcnn').entry_points: entry_point.load()\n"
        "found = {name.split('.')[0] for name in sys.modules}\n"
        "print(found & {'transformers', 'spacy_transformers'})"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"


@pytest.mark.parametrize("line", PUBLIC_IMPORTS)
def test_public_names_can_be_imported(line):
    exec(line, {})


def test_shipped_configs_keep_their_settings_when_filled(config, filled):
    base, complete = (Config().from_disk(path, interpolate=False) for path in (config, filled))
    assert complete.merge(base) == complete


def test_shipped_configs_are_valid(run_spacy, filled, paths):
    result = run_spacy("debug", "config", filled, *paths)
    assert "Config is valid" in result.output


def test_shipped_configs_train(run_spacy, config, paths, tmp_path):
    steps = ("--training.max_steps", 1, "--training.eval_frequency", 1)
    result = run_spacy("train", config, "--output", tmp_path, *paths, *steps)
    assert result.exit_code == 0, result.output
    *_, component = Config().from_disk(config, interpolate=False)["nlp"]["pipeline"]
    assert (tmp_path / "model-last" / component / "model").is_file()


def test_shipped_configs_can_be_continued_by_nlp_update(config, paths):
    nlp = load_model_from_config(load_config(config, overrides=as_overrides(paths)))
    doc = nlp.make_doc("Ada founded Acme.")
    doc.ents = [doc.char_span(0, 3, "Person"), doc.char_span(12, 16, "Organisation")]
    doc._.relations = [(doc.ents[0], doc.ents[1], "founded")]
    examples = [Example(nlp.make_doc(doc.text), doc)]
    nlp.initialize(lambda: examples)
    nlp._optimizer = None  # as in a pipeline that was loaded
    losses = nlp.update(examples)
    assert losses[nlp.pipe_names[-1]] > 0.0
    assert nlp.resume_training() is nlp._optimizer
    assert nlp.create_optimizer().learn_rate > 0.0


def test_shipped_configs_pass_spacys_debug_data(run_spacy, config, paths):
    output = run_spacy("debug", "data", config, *paths).output
    assert "Corpus is loadable" in output
    # Nothing is wrong with the corpus but its size.
    assert "Low number of examples" in output and "1 error" in output


def as_overrides(options):
    """Turn options of the command line into overrides of a config."""
    names = [name.removeprefix("--") for name in options[::2]]
    values = [value if isinstance(value, int) else str(value) for value in options[1::2]]
    return dict(zip(names, values, strict=True))


def test_shipped_configs_weigh_entities_and_strict_relations_alike(filled):
    weights = Config().from_disk(filled)["training"]["score_weights"]
    counted = {name: weight for name, weight in weights.items() if weight}
    average = "macro_f" if filled.stem == "ade" else "f"
    assert counted == {f"ents_{average}": 0.5, f"rels_strict_{average}": 0.5}

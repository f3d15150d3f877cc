"""Training with checkpoints: the result of `spacy train`, whether it was stopped or not."""

import io
import shutil
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.cli.train import train as spacy_train
from spacy.util import load_config
from thinc.api import Optimizer, registry

from spacy_tabcnn.pipeline.divergence import DivergenceError
from spacy_tabcnn.training import loop
from spacy_tabcnn.training.checkpoint import DamagedCheckpointError
from spacy_tabcnn.training.loop import OtherTrainingError, train, train_or_go_on
from spacy_tabcnn.training.parameters import CannotResumeError

CONFIGS = Path(__file__).parents[2] / "configs"
# Two epochs and a half, so that the last step has no evaluation.
SHORT = {"training.max_steps": 7, "training.eval_frequency": 2}


class Stopped(Exception):
    """In place of a kill."""


@pytest.fixture(scope="module")
def make_config(tiny_corpus, tiny_encoder):
    """Make a config: a shipped one with a tiny encoder, trained for a few steps."""

    def make(name="test/tiny", overrides=None):
        paths = {"paths.train": str(tiny_corpus), "paths.dev": str(tiny_corpus)}
        config = load_config(CONFIGS / f"{name}.cfg", interpolate=False)
        if "encoder" in config["paths"]:
            paths["paths.encoder"] = str(tiny_encoder)
        if name in ("conll04_frozen", "conll04_pairs"):
            layers = "components.relation_table.model.tok2vec.*.encoder.pooling.n_layers"
            paths[layers] = 2
        if name == "conll04_table_sequence":
            paths["components.relation_table.model.tok2vec.pooling.n_layers"] = 2
        options = {**SHORT, **paths, "training.batcher.size": 3}
        config = load_config(CONFIGS / f"{name}.cfg", overrides=options, interpolate=False)
        for key, value in (overrides or {}).items():
            *sections, last = key.split(".")
            block = config
            for section in sections:
                block = block[section]
            block[last] = value
        return config

    return make


def run(config, output, *, stop_after=None, **options):
    """Train, and stop right after the n-th checkpoint of this call."""
    n_written = 0
    write = loop._Training._finish_period

    def count(self, *arguments, **named):
        nonlocal n_written
        write(self, *arguments, **named)
        n_written += 1
        if n_written == stop_after:
            raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop._Training, "_finish_period", count)
        printed = io.StringIO()
        if stop_after is None:
            train(config, output, stdout=printed, stderr=io.StringIO(), **options)
        else:
            with pytest.raises(Stopped):
                train(config, output, stdout=printed, stderr=io.StringIO(), **options)
    return printed.getvalue()


def read_files(folder):
    """The contents of all files below a folder, by their paths in it."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def assert_same_models(folder, other):
    for name in ("model-best", "model-last"):
        files, others = read_files(folder / name), read_files(other / name)
        assert files.keys() == others.keys()
        differing = [path for path in files if files[path] != others[path]]
        assert not differing, (name, differing)


@pytest.mark.parametrize("name", ["test/tiny", "conll04_uncased"])
def test_the_result_is_that_of_spacy_train(make_config, name, tmp_path):
    config = make_config(name)
    config.to_disk(tmp_path / "config.cfg")
    spacy_train(tmp_path / "config.cfg", tmp_path / "spacy")
    run(config, tmp_path / "ours")
    assert_same_models(tmp_path / "ours", tmp_path / "spacy")


VARIANTS = {
    "the embeddings of spaCy": ("test/tiny", {}),
    "averages and sentence starts": ("conll04_uncased", {}),
    "the paper's config": ("conll04", {}),
    "a frozen encoder with a cache": ("conll04_frozen", {}),
    "a classifier of pairs": ("conll04_pairs", {}),
    "TabERT": ("conll04_tabert", {}),
    "Table-Sequence, whose rate decays": ("conll04_table_sequence", {}),
    "SpERT, which draws candidates": ("conll04_spert", {}),
    "PFN, which draws weights to drop": ("conll04_pfn_house", {}),
    "one constant learning rate": ("conll04_pfn", {}),
    "mixed precision": ("conll04_uncased", {"system.mixed_precision": True}),
    "joined documents in another order each time": (
        "test/tiny",
        {
            "corpora.train.joined": 0.5,
            "corpora.train.shuffle": True,
            "corpora.dev.joined": 0.5,
            "training.batcher": {"@batchers": "spacy-tabcnn.batch_by_length.v1", "size": 2},
        },
    ),
    "a corpus that is a stream": ("test/tiny", {"training.max_epochs": -1}),
    "a batcher and a schedule of spaCy": (
        "test/tiny",
        {
            "training.batcher": {
                "@batchers": "spacy.batch_by_padded.v1",
                "size": {"@schedules": "compounding.v1", "start": 20, "stop": 99, "compound": 1.1},
                "buffer": 4,
                "discard_oversize": False,
            },
            "training.accumulate_gradient": 2,
        },
    ),
    "thinc's Adam": (
        "test/tiny",
        {"training.optimizer": {"@optimizers": "Adam.v1", "learn_rate": 0.01}},
    ),
    "other components over spacy-transformers' own encoder": (
        "conll04_uncased",
        {
            "nlp.pipeline": ["transformer", "ner", "relation_table"],
            "components.relation_table.entities": "merge",
            "components.ner": {
                "factory": "ner",
                "model": {
                    "@architectures": "spacy.TransitionBasedParser.v2",
                    "state_type": "ner",
                    "extra_state_tokens": False,
                    "hidden_width": 16,
                    "maxout_pieces": 2,
                    "use_upper": True,
                    "nO": None,
                    "tok2vec": {
                        "@architectures": "spacy-transformers.TransformerListener.v1",
                        "grad_factor": 1.0,
                        "pooling": {"@layers": "reduce_mean.v1"},
                    },
                },
            },
            "components.transformer.model": {
                "@architectures": "spacy-transformers.TransformerModel.v3",
                "name": "${paths.encoder}",
                "tokenizer_config": {"use_fast": True},
                "transformer_config": {},
                "mixed_precision": False,
                "grad_scaler_config": {},
                "get_spans": {"@span_getters": "spacy-transformers.doc_spans.v1"},
            },
            "training.optimizer": {"@optimizers": "Adam.v1", "learn_rate": 0.001},
        },
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_stopped_training_goes_on_to_the_same_weights(make_config, name, tmp_path):
    config_name, overrides = VARIANTS[name]
    config = make_config(config_name, overrides)
    run(config, tmp_path / "whole")
    run(config, tmp_path / "stopped", stop_after=2)
    run(config, tmp_path / "stopped", resume=True)
    assert_same_models(tmp_path / "stopped", tmp_path / "whole")


@pytest.fixture(scope="module")
def stopped_once(make_config, tmp_path_factory):
    """The folder of a training that was stopped after its second evaluation. Read only."""
    folder = tmp_path_factory.mktemp("stopped")
    run(make_config(), folder, stop_after=2)
    return folder


@pytest.fixture
def stopped(stopped_once, tmp_path):
    """A copy of this folder."""
    return shutil.copytree(stopped_once, tmp_path / "stopped")


def test_a_checkpoint_holds_numbers_and_strings_only(stopped):
    assert sorted(path.name for path in (stopped / "checkpoint").iterdir()) == [
        "average.safetensors",
        "exp_avg.safetensors",
        "exp_avg_sq.safetensors",
        "state.msgpack",
        "training.json",
        "weights.safetensors",
    ]
    srsly.read_msgpack(stopped / "checkpoint" / "state.msgpack")
    srsly.read_json(stopped / "checkpoint" / "training.json")


def test_a_complete_training_is_left_as_it_is(make_config, tmp_path):
    run(make_config(), tmp_path)
    before = read_files(tmp_path)
    assert sorted(before) == sorted(read_files(tmp_path))
    printed = run(make_config(), tmp_path, resume=True)
    assert "is complete" in " ".join(printed.split())
    assert read_files(tmp_path) == before
    # The weights of a complete training are in its pipelines only.
    assert [path.name for path in (tmp_path / "checkpoint").iterdir()] == ["training.json"]


def test_without_a_checkpoint_resume_begins(make_config, tmp_path):
    printed = run(make_config(), tmp_path, resume=True)
    assert "training from the beginning" in " ".join(printed.split())
    assert (tmp_path / "model-best").is_dir()


def test_without_resume_a_training_begins_anew(make_config, stopped):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "init_nlp", lambda *args, **options: pytest.exit("begun"))
        with pytest.raises(pytest.exit.Exception):
            run(make_config(), stopped)
    assert not (stopped / "checkpoint").exists()
    # The old pipelines stay until the first evaluation.
    assert (stopped / "model-best").is_dir()


def test_a_stop_after_the_last_checkpoint_keeps_its_weights(make_config, tmp_path):
    config = make_config(overrides={"training.max_steps": 6})
    run(config, tmp_path / "whole")
    run(config, tmp_path / "stopped", stop_after=4)  # the last evaluation
    run(config, tmp_path / "stopped", resume=True)
    assert_same_models(tmp_path / "stopped", tmp_path / "whole")


def test_the_loggers_get_all_evaluations(make_config, tmp_path):
    def set_log(path):
        return make_config(overrides={"training.logger.output_file": str(path)})

    run(set_log(tmp_path / "whole.jsonl"), tmp_path / "whole")
    config = set_log(tmp_path / "log.jsonl")
    run(config, tmp_path / "stopped", stop_after=2)
    printed = run(config, tmp_path / "stopped", resume=True)
    whole = (tmp_path / "whole.jsonl").read_text()
    assert (tmp_path / "log.jsonl").read_text() == whole
    assert (tmp_path / "log.jsonl.old").exists()
    assert "Going on after step 2" in printed and "Saving logs is disabled" not in printed
    steps = [row["step"] for row in srsly.read_jsonl(tmp_path / "log.jsonl")]
    assert steps == [0, 2, 4, 6]


CHANGES = {
    "training.dropout": (0.4, "training.dropout was 0.1, now 0.4"),
    "training.batcher.size": (4, "training.batcher.size was 3, now 4"),
    "training.patience": (100, "training.patience was 0, now 100"),
    "system.seed": (2, "system.seed was 1, now 2; training.seed was 1, now 2"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_another_config_is_refused(make_config, stopped, name):
    value, message = CHANGES[name]
    before = read_files(stopped)
    with pytest.raises(OtherTrainingError, match=message):
        run(make_config(overrides={name: value}), stopped, resume=True)
    assert read_files(stopped) == before


def test_another_corpus_is_refused(make_config, tiny_corpus, tmp_path):
    corpus = shutil.copy(tiny_corpus, tmp_path / "train.spacy")
    config = make_config(overrides={"paths.train": str(corpus)})
    run(config, tmp_path / "out", stop_after=1)
    other = spacy.tokens.DocBin(store_user_data=True).from_disk(corpus)
    spacy.tokens.DocBin(docs=list(other.get_docs(spacy.blank("en").vocab))[1:]).to_disk(corpus)
    with pytest.raises(OtherTrainingError, match=r"train\.spacy has other content"):
        run(config, tmp_path / "out", resume=True)


def test_another_encoder_is_refused(make_config, tiny_encoder, tmp_path):
    encoder = shutil.copytree(tiny_encoder, tmp_path / "encoder")
    config = make_config("conll04", overrides={"paths.encoder": str(encoder)})
    run(config, tmp_path / "out", stop_after=1)
    with (encoder / "vocab.txt").open("a", encoding="utf-8") as file_:
        file_.write("\nmore")
    with pytest.raises(OtherTrainingError, match="encoder has other content"):
        run(config, tmp_path / "out", resume=True)


def test_another_file_of_code_is_refused(make_config, tmp_path):
    code = tmp_path / "code.py"
    code.write_text("x = 1")
    run(make_config(), tmp_path / "out", stop_after=1, code=code)
    code.write_text("x = 2")
    with pytest.raises(OtherTrainingError, match="--code has other content"):
        run(make_config(), tmp_path / "out", resume=True, code=code)


def test_what_cannot_go_on_begins_anew_if_wanted(make_config, stopped, tmp_path):
    config = make_config(overrides={"training.dropout": 0.4})
    run(config, tmp_path / "whole")
    printed = io.StringIO()
    train_or_go_on(config, stopped, stdout=printed, stderr=io.StringIO())
    assert "Training from the beginning:" in printed.getvalue()
    assert_same_models(stopped, tmp_path / "whole")


def cut(data):
    return data[: len(data) // 2]


def flip(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize("damage", [cut, flip, lambda data: b""])
@pytest.mark.parametrize("name", ["training.json", "state.msgpack", "weights.safetensors"])
def test_a_damaged_checkpoint_is_refused(make_config, stopped, name, damage):
    path = stopped / "checkpoint" / name
    path.write_bytes(damage(path.read_bytes()))
    if name == "training.json" and damage is flip:
        path.write_bytes(path.read_bytes().replace(b'"format": 1', b'"format": 2'))
    before = read_files(stopped)
    with pytest.raises((DamagedCheckpointError, OtherTrainingError), match="checkpoint") as error:
        run(make_config(), stopped, resume=True)
    assert "train anew, without --resume" in str(error.value)
    assert read_files(stopped) == before


@pytest.mark.parametrize("text", ["[]", "{}", "null", "[" * 10_000, '{"format": 1}'])
def test_a_record_that_is_none(make_config, stopped, text):
    (stopped / "checkpoint" / "training.json").write_text(text)
    with pytest.raises(DamagedCheckpointError, match=r"training\.json"):
        run(make_config(), stopped, resume=True)


def test_a_record_that_names_a_file_elsewhere(make_config, stopped):
    path = stopped / "checkpoint" / "training.json"
    record = srsly.read_json(path)
    record["files"]["../model-best/config.cfg"] = 0
    srsly.write_json(path, record)
    with pytest.raises(DamagedCheckpointError, match="no name of a file"):
        run(make_config(), stopped, resume=True)


def test_another_environment_is_a_warning(make_config, stopped):
    path = stopped / "checkpoint" / "training.json"
    record = srsly.read_json(path)
    record["environment"]["torch"] = "1.0"
    srsly.write_json(path, record)
    printed = " ".join(run(make_config(), stopped, resume=True).split())
    assert "the last digits may differ: torch was 1.0" in printed


class OtherOptimizer(Optimizer):
    """An optimiser of somebody else."""


@registry.optimizers("spacy-tabcnn.test_other.v1")
def make_other_optimizer():
    return OtherOptimizer(0.01)


def test_an_optimizer_whose_state_is_unknown_trains_without_checkpoints(make_config, tmp_path):
    optimizer = {"training.optimizer": {"@optimizers": "spacy-tabcnn.test_other.v1"}}
    config = make_config(overrides=optimizer)
    printed = " ".join(run(config, tmp_path).split())
    assert "No checkpoints, so --resume will not work: the state of the optimiser" in printed
    assert (tmp_path / "model-best").is_dir() and not (tmp_path / "checkpoint").exists()


def test_a_component_that_learns_without_a_model_of_thinc(make_config, stopped):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spacy.language.Language, "components", [("odd", OddComponent())])
        with pytest.raises(CannotResumeError, match="'odd'"):
            loop.TrainingState(spacy.blank("en"), Optimizer(0.01), is_seeded=True)


class OddComponent:
    def update(self, examples, **options):
        """Learn somehow."""


def test_a_source_is_not_replaced(make_config, tiny_run, tmp_path):
    shutil.copytree(tiny_run / "model-last", tmp_path / "model-best")
    source = {"components.tabcnn": {"source": str(tmp_path / "model-best")}}
    with pytest.raises(ValueError, match="model-best: is the input"):
        run(make_config(overrides=source), tmp_path)
    spacy.load(tmp_path / "model-best")


def test_a_trained_component_learns_on(make_config, tiny_run, tmp_path):
    source = {"components.tabcnn": {"source": str(tiny_run / "model-last")}}
    config = make_config(overrides=source)
    run(config, tmp_path / "whole")
    run(config, tmp_path / "stopped", stop_after=1)
    run(config, tmp_path / "stopped", resume=True)
    assert_same_models(tmp_path / "stopped", tmp_path / "whole")


def test_two_trainings_in_one_folder(make_config, tmp_path):
    with (
        loop._lock(tmp_path),
        pytest.raises(BlockingIOError, match="another training is writing to this folder"),
    ):
        run(make_config(), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("rate", [1.0, 1e6, 1e30, 1e39])
def test_a_training_that_diverges_is_stopped(make_config, rate, tmp_path):
    config = make_config(overrides={"training.optimizer.learn_rate": rate})
    with pytest.raises(DivergenceError, match=r"diverged at step [012]: .*'tabcnn'") as error:
        run(config, tmp_path)
    assert "Lower the learning rates" in str(error.value)


def test_the_last_good_weights_are_kept(make_config, tmp_path):
    rate = {"@schedules": "constant_then.v1", "rate": 0.01, "steps": 5}
    rate["schedule"] = {"@schedules": "constant.v1", "rate": 1e6}
    config = make_config(overrides={"training.optimizer.learn_rate": rate})
    with pytest.raises(DivergenceError, match="diverged at step 6") as error:
        run(config, tmp_path)
    assert "has the weights of the evaluation at step 4" in str(error.value)
    good = make_config()
    run(good, tmp_path / "good", stop_after=3)
    for name in ("model-best", "model-last"):
        weights = (tmp_path / name / "tabcnn" / "model").read_bytes()
        assert weights == (tmp_path / "good" / name / "tabcnn" / "model").read_bytes()


def test_spacy_train_stops_too(run_spacy, make_config, tmp_path):
    config = make_config(overrides={"training.optimizer.learn_rate": 1e6})
    config.to_disk(tmp_path / "config.cfg")
    result = run_spacy("train", tmp_path / "config.cfg", "--output", tmp_path / "out")
    assert result.exit_code == 1
    assert isinstance(result.exception, DivergenceError)
    assert "Component 'tabcnn': the loss has grown to" in str(result.exception)


def test_a_log_is_not_replaced(make_config, tmp_path):
    log = str(tmp_path / "model-last" / "log.jsonl")
    logger = {"@loggers": "spacy.ConsoleLogger.v3", "progress_bar": None, "output_file": log}
    with pytest.raises(ValueError, match=r"the other output .* is in this folder"):
        run(make_config(overrides={"training.logger": logger}), tmp_path)


@pytest.mark.parametrize("name", ["eval_frequency", "accumulate_gradient"])
def test_numbers_of_steps_are_checked(make_config, tmp_path, name):
    overrides = {f"training.{name}": 0, "training.max_steps": 2, "initialize.before_init": None}
    with pytest.raises(ValueError, match=rf"\[training\] {name} is 0; expected at least 1"):
        run(make_config(overrides=overrides), tmp_path)

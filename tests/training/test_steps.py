"""Epochs become steps, in the config of the pipeline that is trained."""

from itertools import islice

import pytest
import spacy
import srsly
from spacy.tokens import Span
from spacy.training import Example
from spacy.util import load_config, load_model_from_config, registry
from thinc.api import Config

from spacy_tabcnn.corpora.reader import RelationCorpus
from spacy_tabcnn.training.schedules import warmup_linear
from spacy_tabcnn.training.steps import count_steps, reset_schedules

SCHEDULE = {
    "@schedules": "spacy-tabcnn.warmup_linear.v1",
    "rate": 0.01,
    "warmup": 0.2,
    "total_steps": None,
}


@pytest.fixture
def make_config(tiny_config, tiny_corpus):
    """Make the config of a training on ten sentences in batches of five, in epochs.

    Other settings of [training] are arguments.
    """

    def make(n_epochs=4, evaluations_per_epoch=1.0, **training):
        paths = {"paths.train": str(tiny_corpus), "paths.dev": str(tiny_corpus)}
        config = load_config(tiny_config, overrides=paths)
        config["training"] |= {"max_steps": 0, "eval_frequency": 0, "max_epochs": 0, **training}
        config["training"]["optimizer"] |= {
            "learn_rate": dict(SCHEDULE),
            "head_learn_rate": dict(SCHEDULE),
        }
        config["training"]["before_to_disk"] = {"@callbacks": "spacy-tabcnn.reset_schedules.v1"}
        config["initialize"]["before_init"] = {
            "@callbacks": "spacy-tabcnn.count_steps.v1",
            "n_epochs": n_epochs,
            "evaluations_per_epoch": evaluations_per_epoch,
        }
        return config

    return make


def prepare(config):
    """Make a pipeline and let the callback of its config set the number of steps."""
    nlp = load_model_from_config(config, auto_fill=True)
    callback = registry.resolve({"callback": config["initialize"]["before_init"]})["callback"]
    return callback(nlp)


def set_steps(config):
    return prepare(config).config["training"]


def limits(training):
    return training["max_steps"], training["eval_frequency"], training["max_epochs"]


def total_steps(training):
    rates = training["optimizer"]
    return rates["learn_rate"]["total_steps"], rates["head_learn_rate"]["total_steps"]


def test_epochs_times_batches(make_config):
    training = set_steps(make_config(n_epochs=4))
    assert limits(training) == (8, 2, 0)
    assert total_steps(training) == (8, 8)


@pytest.mark.parametrize("per_epoch, frequency", [(0.5, 4), (2, 1), (100, 1), (0.001, 8)])
def test_evaluations_per_epoch(make_config, per_epoch, frequency):
    training = set_steps(make_config(n_epochs=4, evaluations_per_epoch=per_epoch))
    assert training["eval_frequency"] == frequency


def test_max_steps_is_a_limit(make_config):
    training = set_steps(make_config(max_steps=3))
    assert limits(training) == (3, 2, 0)
    assert total_steps(training) == (3, 3)


def test_max_epochs_replaces_the_epochs(make_config):
    assert limits(set_steps(make_config(n_epochs=4, max_epochs=2))) == (4, 2, 0)
    assert limits(set_steps(make_config(n_epochs=4, max_epochs=2, max_steps=3))) == (3, 2, 0)


def test_a_streamed_corpus_is_counted_once(make_config):
    training = set_steps(make_config(max_epochs=-1))
    assert limits(training) == (8, 2, -1)


def test_nothing_is_read_if_nothing_is_to_be_counted(make_config):
    config = make_config(max_steps=6, eval_frequency=3)
    config["corpora"]["train"] = {"@readers": "spacy-tabcnn.RelationCorpus.v1", "path": "none"}
    training = set_steps(config)
    assert limits(training) == (6, 3, 0)
    assert total_steps(training) == (6, 6)


@pytest.mark.parametrize("path", [None, "no/such.spacy"])
def test_a_pipeline_is_initialised_without_the_corpus_of_its_config(make_config, path):
    config = make_config()
    config["corpora"]["train"]["path"] = path
    training = set_steps(config)
    assert limits(training) == (0, 0, 0)
    assert total_steps(training) == (None, None)


def test_a_total_that_is_given_stays(make_config):
    config = make_config()
    config["training"]["optimizer"]["learn_rate"]["total_steps"] = 100
    assert total_steps(set_steps(config)) == (100, 8)


@pytest.mark.parametrize("argument", ["n_epochs", "evaluations_per_epoch"])
def test_bad_arguments_are_named(argument):
    with pytest.raises(ValueError, match=f"count_steps.v1: {argument} is 0"):
        count_steps(**{argument: 0})


def test_rates_are_low_and_constant_while_the_end_is_unknown():
    assert list(islice(warmup_linear(0.1, warmup=0.5), 5)) == pytest.approx([0.01] * 5)


def test_rates_are_constant_while_a_variable_is_unresolved():
    rates = warmup_linear(0.1, total_steps="${training.max_steps}")
    assert list(islice(rates, 5)) == pytest.approx([0.01] * 5)
    with pytest.raises(ValueError, match="total_steps is 'many'"):
        warmup_linear(0.1, total_steps="many")


def test_train_takes_the_counted_steps(run, make_config, tmp_path):
    make_config(n_epochs=2).to_disk(tmp_path / "epochs.cfg")
    log = tmp_path / "log.jsonl"
    options = ("--training.logger.output_file", log)
    printed = run("train", tmp_path / "epochs.cfg", "--output", tmp_path, *options)
    assert "Initial learn rate: 0.01" in printed  # a fifth of four steps: the peak at once
    assert [row["step"] for row in srsly.read_jsonl(log)] == [0, 2, 4]
    saved = Config().from_disk(tmp_path / "model-last" / "config.cfg")["training"]
    assert limits(saved) == (4, 2, 0)
    assert total_steps(saved) == (None, None)


def test_the_rates_of_a_training_fall_to_zero(make_config):
    optimizer = prepare(make_config(n_epochs=4)).create_optimizer()
    rates = []
    for _ in range(9):
        rates.append(optimizer.learn_rate)
        optimizer.step_schedules()
    assert rates[-1] == 0.0 and max(rates) == 0.01


def test_a_loaded_pipeline_learns_at_constant_rates(run, make_config, tmp_path):
    make_config(n_epochs=1).to_disk(tmp_path / "epochs.cfg")
    run("train", tmp_path / "epochs.cfg", "--output", tmp_path)
    nlp = spacy.load(tmp_path / "model-last")
    optimizer = nlp.resume_training()
    optimizer.step_schedules()
    assert optimizer.learn_rate == optimizer.head_learn_rate == pytest.approx(0.001)


def test_a_decaying_schedule_is_closed_and_opened_again(make_config):
    config = make_config(n_epochs=4)
    schedule = {"@schedules": "spacy-tabcnn.warmup_decaying.v1", "rate": 0.01, "total_steps": None}
    config["training"]["optimizer"]["learn_rate"] = schedule
    nlp = prepare(config)
    assert total_steps(nlp.config["training"]) == (8, 8)
    assert total_steps(reset_schedules()(nlp).config["training"]) == (None, None)


def test_a_loaded_pipeline_learns_new_examples_and_keeps_the_old(run, make_config, tmp_path):
    make_config(n_epochs=40).to_disk(tmp_path / "epochs.cfg")
    run("train", tmp_path / "epochs.cfg", "--output", tmp_path)
    nlp = spacy.load(tmp_path / "model-last")
    config = nlp.config.interpolate()
    old = list(RelationCorpus(config["paths"]["train"])(nlp))
    before = nlp.evaluate(old)
    assert before["rels_strict_f"] > 0.9
    doc = nlp.make_doc("Zora Neale painted the Blue Barn .")
    doc.ents = [Span(doc, 0, 2, "Person"), Span(doc, 4, 6, "Work")]
    doc._.relations = [(doc.ents[0], doc.ents[1], "created")]
    for _ in range(40):
        nlp.update([Example(nlp.make_doc(doc.text), doc)])
    assert nlp.evaluate([Example(nlp.make_doc(doc.text), doc)])["rels_strict_f"] == 1.0
    assert nlp.evaluate(old)["rels_strict_f"] > before["rels_strict_f"] - 0.2

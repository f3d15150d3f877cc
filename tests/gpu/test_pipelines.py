"""Pipelines on the device, against the CPU.

Tolerances: labels are equal, scores differ by at most 1e-4 in float32 (0.05 in bfloat16), gradients
by at most 1e-3 of the largest element of their array. TF32 is off, as torch leaves it for products.
"""

import json

import numpy as np
import pytest
import spacy
import torch
from spacy.util import fix_random_seed
from thinc.util import to_numpy

from spacy_tabcnn.training.optimizer import AdamW

from .conftest import COMPONENTS, DATA, PIPELINES, TEXTS, assert_near, on_host, words_of


class Recorder:
    """An optimiser that keeps gradients, by the place of their parameter in the pipeline."""

    def __init__(self, nlp):
        self.gradients = {}
        self._places = {}
        for name, pipe in nlp.pipeline:
            for i, node in enumerate(pipe.model.walk()):
                self._places[node.id] = name, i
                for shim in node.shims:
                    self._places["shim", shim.id] = name, i, "shim"

    def __call__(self, key, weights, gradient, *, lr_scale=1.0):
        self.gradients[(*self._places[key[0]], key[1])] = to_numpy(gradient).copy()
        gradient.fill(0.0)
        return weights, gradient

    def collect(self, key, parameter, gradient, on_change):
        place = self._places.get(("shim", key[0]))
        if place is None or "." not in key[1]:
            place = self._places.get(key[0], place)
        self.gradients[(*place, key[1])] = gradient.detach().cpu().numpy().copy()


def describe(docs):
    """Entities and relations, and their scores."""
    labels, scores = [], []
    for doc in docs:
        entities = [(ent.start, ent.end, ent.label_) for ent in doc.ents]
        relations = [(head.start, tail.start, label) for head, tail, label, _ in doc._.relations]
        labels.append((entities, relations, [token.is_sent_start for token in doc]))
        scores.extend(ent._.entity_score for ent in doc.ents if ent._.entity_score is not None)
        scores.extend(relation.score for relation in doc._.relations)
    return labels, scores


def assert_same(found, wanted, *, tolerance=1e-4):
    (labels, scores), (expected, expected_scores) = describe(found), describe(wanted)
    assert labels == expected
    assert scores == pytest.approx(expected_scores, abs=tolerance)


def learn(nlp, examples, *, steps=60, drop=0.0, optimizer=None):
    optimizer = optimizer or AdamW(0.003, use_averages=True)
    for _ in range(steps):
        losses = nlp.update(examples, sgd=optimizer, drop=drop)
        optimizer.step_schedules()
    return optimizer, losses


@pytest.mark.parametrize("name", PIPELINES)
def test_logits(name, make_pair, device):
    nlp, other = make_pair(name)
    component = next(pipe for pipe in PIPELINES[name][0].split('"') if pipe in COMPONENTS)

    def score(nlp):
        docs = words_of(nlp)
        for other_name, pipe in nlp.pipeline:
            if other_name == component:
                return pipe.predict(docs)
            docs = [*pipe.pipe(docs)]

    expected = score(nlp)
    with device.use():
        found = score(other)
    for array, wanted in zip(found, expected, strict=True):
        if hasattr(wanted, "shape"):
            assert_near(array, wanted, tolerance=1e-4)


@pytest.mark.parametrize("name", PIPELINES)
def test_gradients(name, make_pair, make_examples, device):
    nlp, other = make_pair(name)
    recorders = []
    for pipeline, use in ((nlp, False), (other, True)):
        for pipe in pipeline.components:
            if pipe[0] == "senter":
                pipe[1].joined = 0.0
        recorder = Recorder(pipeline)
        fix_random_seed(0)  # SpERT learns from random spans
        if use:
            with device.use():
                losses = pipeline.update(make_examples(pipeline), sgd=recorder, drop=0.0)
        else:
            expected = pipeline.update(make_examples(pipeline), sgd=recorder, drop=0.0)
        recorders.append(recorder)
    wanted, found = recorders[0].gradients, recorders[1].gradients
    assert set(found) == set(wanted)
    for key, array in wanted.items():
        if name == "two listeners" and key[0] == "ner":
            continue  # the parser's own gradients depend on random choices
        assert_near(found[key], array, tolerance=1e-3)
    for key in COMPONENTS & set(expected):
        assert losses[key] == pytest.approx(expected[key], rel=1e-3)


@pytest.mark.parametrize("name", PIPELINES)
def test_learned_by_heart_saved_and_loaded_elsewhere(
    name, make_nlp, make_examples, device, tmp_path
):
    with device.use():
        nlp = make_nlp(name)
        examples = make_examples(nlp)
        fix_random_seed(0)
        nlp.initialize(lambda: examples)
        optimizer = AdamW(0.003, use_averages=True)
        # The random numbers of a device decide how many steps it takes.
        for _ in range(12):
            learn(nlp, examples, steps=40, optimizer=optimizer)
            if nlp.evaluate(examples)["rels_strict_f"] == 1.0:
                break
        assert nlp.evaluate(examples)["rels_strict_f"] == 1.0
        nlp.to_disk(tmp_path / "latest")
        with nlp.use_params(optimizer.averages):
            nlp.to_disk(tmp_path / "average")
            average = [*nlp.pipe(words_of(nlp))]
        done = [*nlp.pipe(words_of(nlp))]
    for folder, wanted in (("latest", done), ("average", average)):
        on_cpu = spacy.load(tmp_path / folder)
        assert_same(on_cpu.pipe(words_of(on_cpu)), wanted)
    with device.use():
        again = spacy.load(tmp_path / "latest")
        assert_same(again.pipe(words_of(again)), done)
        # A batch of one, and a batch beside others.
        assert_same(map(again, words_of(again)), done)


def test_bfloat16(make_nlp, make_examples, device, tmp_path):
    with device.use():
        nlp = make_nlp("cnn", **{"vars.mixed_precision": True})
        nlp.get_pipe("tabcnn").model.get_ref("head").shims[0].use_bfloat16 = True
        examples = make_examples(nlp)
        fix_random_seed(0)
        nlp.initialize(lambda: examples)
        learn(nlp, examples)
        assert nlp.evaluate(examples)["rels_strict_f"] == 1.0
        for _, pipe in nlp.components:
            for node in pipe.model.walk():
                assert all(p.dtype != torch.bfloat16 for p in parameters_of(node))
        nlp.to_disk(tmp_path)
        done = [*nlp.pipe(words_of(nlp))]
    on_cpu = spacy.load(tmp_path, config={"components.transformer.model.mixed_precision": False})
    assert_same(on_cpu.pipe(words_of(on_cpu)), done, tolerance=0.05)


def parameters_of(node):
    for shim in node.shims:
        if shim._model is not None:
            yield from shim._model.parameters()


def test_dropout_and_new_labels(make_nlp, make_examples, make_doc, device):
    with device.use():
        nlp = make_nlp("cnn")
        examples = make_examples(nlp)
        nlp.initialize(lambda: examples)
        learn(nlp, examples, steps=3, drop=0.3)
        before = [*nlp.pipe(words_of(nlp))]
        nlp.get_pipe("tabcnn").add_label("DATE")
        nlp.get_pipe("tabcnn").add_label("BornOn", kind="relation")
        assert_same(nlp.pipe(words_of(nlp)), before, tolerance=0.01)
        learn(nlp, examples, steps=3)


def test_cache_of_a_frozen_encoder(make_pair, device, monkeypatch):
    nlp, other = make_pair("frozen")
    expected = [*nlp.pipe(words_of(nlp))]
    with device.use():
        first = [*other.pipe(words_of(other))]
        shim = other.get_pipe("transformer").model.layers[0].shims[0]
        monkeypatch.setattr(shim, "_encode", None)  # cannot be called
        second = [*other.pipe(words_of(other))]
    assert_same(first, expected)
    assert_same(second, expected)


def test_trf_data_as_other_components_read_it(make_pair, device):
    nlp, other = make_pair("cnn")
    expected = [doc._.trf_data for doc in nlp.pipe(words_of(nlp))]
    with device.use():
        found = [doc._.trf_data for doc in other.pipe(words_of(other))]
        for one, wanted in zip(found, expected, strict=True):
            # Without the padding, which the CPU leaves at zero.
            places = wanted.align.dataXd
            rows = on_host(one.model_output["last_hidden_state"]).reshape(-1, 16)[places]
            expected_rows = wanted.model_output["last_hidden_state"].reshape(-1, 16)[places]
            assert_near(rows, expected_rows, tolerance=1e-4)
            np.testing.assert_array_equal(to_numpy(one.align.dataXd), wanted.align.dataXd)
            assert one.wordpieces.strings == wanted.wordpieces.strings


def test_annotate_and_evaluate(make_nlp, make_examples, run, device, tmp_path):
    with device.use():
        nlp = make_nlp("cnn")
        examples = make_examples(nlp)
        nlp.initialize(lambda: examples)
        learn(nlp, examples)
        nlp.to_disk(tmp_path / "model")
    rows = "\n".join(json.dumps({"text": text}) for text in TEXTS)
    (tmp_path / "texts.jsonl").write_text(rows + "\n", encoding="utf-8")
    gpu = ("--gpu-id", device.gpu_id)
    try:
        run("tabcnn", "annotate", tmp_path / "model", tmp_path / "texts.jsonl",
            tmp_path / "out.jsonl", *gpu)  # fmt: skip
    finally:
        with device.use():
            pass  # back to the CPU
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(TEXTS)
    assert len(DATA[0][1]) == len(json.loads(lines[0])["entities"])

"""Model directories are checked before spaCy loads them. `tests/hostile` has more of them."""

import json
import os
import pkgutil
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import spacy
import spacy.lang
import srsly
from spacy.training import Example
from thinc.api import Config

from spacy_tabcnn.pipeline import model_folder
from spacy_tabcnn.pipeline.loading import check_pipeline, load_pipeline


@pytest.fixture
def folder(tiny_run, tmp_path):
    """A copy of a trained pipeline."""
    path = tmp_path / "model"
    shutil.copytree(tiny_run / "model-last", path)
    return path


def edit_config(folder, edit):
    config = Config().from_disk(folder / "config.cfg", interpolate=False)
    edit(config)
    config.to_disk(folder / "config.cfg", interpolate=False)


def edit_labels(folder, edit):
    path = folder / "tabcnn" / "cfg"
    settings = json.loads(path.read_text())
    edit(settings["labels"])
    path.write_text(json.dumps(settings))


def refuse(folder, message):
    with pytest.raises(ValueError, match=message):
        load_pipeline(folder)


def test_the_pipeline_predicts_as_before(folder):
    text = "Ada Lovelace lived in London."
    expected, found = spacy.load(folder)(text), load_pipeline(folder)(text)
    assert found.to_json()["ents"] == expected.to_json()["ents"]
    assert len(found._.relations) == len(expected._.relations)


def test_no_warning_is_used_up(folder):
    nlp = load_pipeline(folder)
    assert nlp.get_pipe("tabcnn")._reported == set()


def test_a_component_with_a_file_of_its_own_is_loaded(folder):
    nlp = spacy.load(folder)
    nlp.add_pipe("sentencizer", first=True, config={"punct_chars": ["!"]})
    nlp.to_disk(folder)
    assert len(list(load_pipeline(folder)("Ada. Ada! Ada").sents)) == 2


@pytest.mark.parametrize("suggester", [{}, {"@misc": "spacy.ngram_range_suggester.v1"}])
def test_lengths_of_spans_may_be_listed(folder, suggester):
    if suggester:
        suggester |= {"min_size": 1, "max_size": 3}
    nlp = spacy.load(folder)
    pipe = nlp.add_pipe("spancat", config={"suggester": suggester} if suggester else {})
    example = Example.from_dict(nlp.make_doc("Ada lives"), {"spans": {"sc": [(0, 3, "PER")]}})
    pipe.initialize(lambda: [example], nlp=nlp)
    nlp.to_disk(folder)
    assert "spancat" in load_pipeline(folder).pipe_names


def test_a_tokenizer_of_ones_own_is_loaded(folder):
    nlp = spacy.load(folder)
    infixes = [*nlp.Defaults.infixes, r"(?<=[a-z])\+(?=[a-z])"]
    nlp.tokenizer.infix_finditer = spacy.util.compile_infix_regex(infixes).finditer
    nlp.to_disk(folder)
    assert [token.text for token in load_pipeline(folder)("a+b")] == ["a", "+", "b"]


@pytest.mark.parametrize(
    ("function", "name"),
    [
        ("@loggers", "spacy.ConsoleLogger.v3"),
        ("@callbacks", "spacy.copy_from_base_model.v1"),
        ("@readers", "srsly.read_json.v1"),
        ("@misc", "spacy.KBFromFile.v1"),
        ("@layers", "TorchScriptWrapper.v1"),
    ],
)
def test_functions_that_do_more_than_compute_are_refused(folder, function, name):
    def edit(config):
        config["components"]["tabcnn"]["scorer"] = {function: name}

    edit_config(folder, edit)
    refuse(folder, rf"config\.cfg: \[components\.tabcnn\.scorer\] names the function {function}")


def test_callbacks_are_refused(folder, tmp_path):
    block = {"@loggers": "spacy.ConsoleLogger.v3", "output_file": str(tmp_path / "written")}
    edit_config(folder, lambda config: config["nlp"].update(after_creation=block))
    refuse(folder, r"config\.cfg: \[nlp\.after_creation\] names a function.*Remove this block")
    assert not (tmp_path / "written").exists()


def test_functions_of_training_are_not_called(folder):
    edit_config(folder, lambda config: config["training"].update(logger={"@loggers": "evil"}))
    load_pipeline(folder)


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a/b", ".."])
def test_names_that_are_paths_are_refused(folder, name):
    def edit(config):
        config["components"][name] = config["components"]["tabcnn"]

    edit_config(folder, edit)
    refuse(folder, r"config\.cfg: (.* which is a path|is no config of spaCy)")


def test_other_pipelines_are_not_loaded(folder):
    edit_config(folder, lambda config: config["components"].update(evil={"source": "/tmp"}))
    refuse(folder, r"config\.cfg: \[components\.evil\] has a `source`")


def test_references_that_grow_are_refused(folder):
    def edit(config):
        config["a"] = {"v0": "x" * 100}
        for number in range(1, 9):
            config["a"][f"v{number}"] = f"${{a.v{number - 1}}}" * 10

    edit_config(folder, edit)
    refuse(folder, r"config\.cfg: its references .* larger than")


def test_links_out_of_the_directory_are_refused(folder, tmp_path):
    path = folder / "tokenizer"
    path.rename(tmp_path / "tokenizer")
    path.symlink_to(tmp_path / "tokenizer")
    refuse(folder, r"tokenizer: is a link out of the model directory.*cp -rL")


def test_a_link_to_the_directory_itself_is_fine(folder, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(folder)
    load_pipeline(link)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused(folder):
    os.mkfifo(folder / "pipe")
    refuse(folder, "pipe: is neither a file nor a folder")


@pytest.mark.parametrize("pattern", ["(a+)+$", "((((", 5])
def test_expressions_of_the_tokenizer_are_checked(folder, pattern):
    path = folder / "tokenizer"
    data = srsly.msgpack_loads(path.read_bytes())
    data["token_match"] = pattern
    path.write_bytes(srsly.msgpack_dumps(data))
    refuse(folder, r"tokenizer: 'token_match'")


def test_the_expressions_of_all_languages_pass():
    for module in pkgutil.iter_modules(spacy.lang.__path__):
        if module.ispkg:
            with suppress(ImportError):  # such as Japanese, which needs other packages
                content = spacy.blank(module.name).tokenizer.to_bytes()
                model_folder._check_tokenizer(module.name, content)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda labels: labels["entities"].append("X"), "its labels need n_tags"),
        (lambda labels: labels["entities"].reverse(), "were learned for"),
        (lambda labels: labels.update(entities=labels["entities"] * 2), "each label once"),
        (lambda labels: labels.update(entities=[1]), "not of the form"),
        (lambda labels: labels.clear(), "not of the form"),
    ],
)
def test_labels_that_do_not_fit_are_refused(folder, edit, message):
    edit_labels(folder, edit)
    refuse(folder, rf"tabcnn/cfg: .*{message}".replace("/", r"[/\\]"))


def test_plain_loading_checks_labels_too(folder):
    edit_labels(folder, lambda labels: labels["entities"].reverse())
    with pytest.raises(ValueError, match="were learned for"):
        spacy.load(folder)


@pytest.mark.parametrize("value", [[], None, 5, {"lang": 5}, {"vectors": []}])
def test_meta_of_another_form_is_refused(folder, value):
    (folder / "meta.json").write_text(json.dumps(value))
    refuse(folder, r"meta\.json: ")


def test_vectors_beyond_their_file_are_refused(folder):
    path = folder / "vocab" / "vectors"
    np.save(path, np.zeros((2, 2), "float32"))
    Path(f"{path}.npy").replace(path)
    path.write_bytes(path.read_bytes().replace(b"(2, 2)", b"(9, 9)"))
    refuse(folder, "vectors: holds no table of word vectors")


@pytest.mark.parametrize("name", ["config.cfg", "meta.json", "tokenizer", "tabcnn/model"])
@pytest.mark.parametrize("content", [b"", b"\x80\x05\x95", b"[" * 10**5])
def test_damaged_files_are_named(folder, name, content):
    (folder / name).write_bytes(content)
    if name == "tokenizer" and not content:
        return
    refuse(folder, name.replace("/", r"[/\\]"))


@pytest.mark.parametrize(
    "name", ["ruler/patterns.jsonl", "ruler.jsonl", "ruler/patterns", "ruler/cfg"]
)
@pytest.mark.parametrize("key", ["REGEX", "\\u0052EGEX", "R\\u0045GE\\u0058"])
def test_expressions_in_patterns_are_checked(folder, name, key):
    nlp = spacy.load(folder)
    nlp.add_pipe("entity_ruler", name="ruler")
    nlp.to_disk(folder)
    path = folder / name
    path.write_text(f'{{"label": "A", "pattern": [{{"TEXT": {{"{key}": "^(a+)+b$"}}}}]}}\n')
    refuse(folder, "ruler")


@pytest.mark.parametrize(
    "setting,value", [("batch_size", 0), ("batch_size", -1), ("disabled", 5), ("disabled", "a")]
)
def test_settings_of_the_pipeline_are_checked(folder, setting, value):
    edit_config(folder, lambda config: config["nlp"].update({setting: value}))
    refuse(folder, rf"config\.cfg: \[nlp\] {setting} is")
    with pytest.raises(ValueError, match=rf"\[nlp\] {setting} is"):
        check_pipeline(folder)


@pytest.mark.parametrize(
    "values", [{"sources": 5}, {"sources": [5]}, {"sources": [{"name": 5}]}, {"intended_use": 5}]
)
def test_statements_of_another_form_are_refused(folder, values):
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps(meta | values))
    refuse(folder, r"meta\.json: ")


def test_counts_of_texts_that_no_corpus_has_are_refused(folder):
    path = folder / "tabcnn" / "cfg"
    settings = json.loads(path.read_text())
    settings["trained_on"]["documents"] = 10**400
    path.write_text(json.dumps(settings))
    refuse(folder, "'trained_on'")


NO_TREE = 2**32 - 1


def match(prefix=NO_TREE, suffix=NO_TREE, **sizes):
    return {"prefix_len": 0, "suffix_len": 0, "prefix_tree": prefix, "suffix_tree": suffix} | sizes


@pytest.fixture
def lemmatizer(folder):
    """The file of a lemmatizer's trees of edits."""
    nlp = spacy.load(folder)
    pipe = nlp.add_pipe("trainable_lemmatizer", first=True, config={"min_tree_freq": 1})
    words, lemmas = ["Ada", "lives", "ungelebt"], ["ada", "live", "leben"]
    gold = {"words": words, "lemmas": lemmas}
    example = Example.from_dict(nlp.make_doc(" ".join(words)), gold)
    pipe.initialize(lambda: [example] * 5, nlp=nlp)
    nlp.to_disk(folder)
    return folder / "trainable_lemmatizer" / "trees"


def test_a_lemmatizer_is_loaded(folder, lemmatizer):
    assert len(srsly.msgpack_loads(lemmatizer.read_bytes())["trees"]) > 4
    assert load_pipeline(folder)("Ada lives")[1].lemma_


@pytest.mark.parametrize(
    ("trees", "message"),
    [
        ([match(0)], "its tree 0 leads back to itself"),
        ([match(1), match(NO_TREE, 2), match(0)], "leads back to itself"),
        ([match(10**8)], "'prefix_tree' of a tree is 100000000; expected one of its 1 trees"),
        ([match(NO_TREE, -1)], "'suffix_tree' of a tree is -1"),
        ([match(prefix_len=-1)], "'prefix_len' of a tree is -1"),
        ([match(index + 1) for index in range(10**5)] + [match()], "more than 1000 trees"),
        ([match(index + 1, index + 1) for index in range(50)] + [match()], "more than 1000 trees"),
        ([5], "a tree is a int; expected a mapping"),
        (5, "'trees' of its content is a int; expected a list"),
    ],
)
def test_trees_without_an_end_are_refused(folder, lemmatizer, trees, message):
    lemmatizer.write_bytes(srsly.msgpack_dumps({"trees": trees}))
    refuse(folder, rf"trees: {message}|trees: .*{message}")


def test_trees_may_refer_forwards(folder, lemmatizer):
    saved = srsly.msgpack_loads(lemmatizer.read_bytes())
    saved["trees"].append(match(len(saved["trees"]) + 1, 0))
    saved["trees"].append(match())
    lemmatizer.write_bytes(srsly.msgpack_dumps(saved))
    load_pipeline(folder)


def copy_layers(block, n):
    return {"@layers": "clone.v1", "n": n, "orig": block}


@pytest.mark.parametrize(
    ("edit", "place"),
    [
        (lambda model: model["tok2vec"].update(depth=10**8), "tok2vec"),
        (lambda model: model["tok2vec"].update(depth="100000000"), "tok2vec"),
        (lambda model: model["tok2vec"].update(depth=1e8), "tok2vec"),
        (lambda model: model["head"].update(hidden=[1] * 10**4), "head"),
        (lambda model: model.update(tok2vec=copy_layers(model["tok2vec"], 10**6)), "tok2vec"),
        (
            lambda model: model.update(tok2vec=copy_layers(copy_layers(model["head"], 100), 100)),
            "tok2vec.orig",
        ),
    ],
)
def test_a_great_many_layers_are_refused(folder, edit, place):
    edit_config(folder, lambda config: edit(config["components"]["tabcnn"]["model"]))
    refuse(folder, rf"config\.cfg: \[components\.tabcnn\.model\.{place}\] .* more than 1000 layers")


@pytest.mark.parametrize(
    "getter", ["spacy-transformers.strided_spans", "spacy-tabcnn.sentence_spans"]
)
@pytest.mark.parametrize("sizes", [{"stride": 0}, {"stride": -1}, {"window": 0}, {"stride": "0"}])
def test_impossible_cuts_are_refused(folder, getter, sizes):
    spans = {"@span_getters": f"{getter}.v1", "window": 8, "stride": 4} | sizes
    encoder = {"@architectures": "spacy-tabcnn.TransformerModel.v1", "get_spans": spans}
    component = {"factory": "transformer", "model": encoder}
    edit_config(folder, lambda config: config["components"].update(transformer=component))
    [name] = sizes
    refuse(folder, rf"\[components\.transformer\.model\.get_spans\] {name} is .*from 1 on")

"""Tokenizers that learn the cuts of entities."""

import pytest
import spacy
from spacy.tokens import Doc, Span

from spacy_tabcnn.corpora.tokenizer import (
    extend_tokenizer,
    learn_cuts,
    load_tokenizer,
    measure_tokenizer,
    write_tokenizer,
)


@pytest.fixture
def mark(nlp):
    """Make a document with the tokens of its entities."""

    def make(words, entities):
        doc = Doc(nlp.vocab, words=words, spaces=[False] * len(words))
        doc.ents = [Span(doc, index, index + 1, label="X") for index in entities]
        return doc

    return make


def split(nlp, text):
    return [token.text for token in nlp.make_doc(text)]


def test_missed_entities_are_counted(nlp, mark):
    docs = [mark(["It ", "24", "h"], [1, 2]), mark(["Rome", " now"], [0])]
    assert measure_tokenizer(docs, nlp) == (3, 2, "'24' in '24h'")
    assert measure_tokenizer([], nlp) == (0, 0, "")


def test_a_frequent_cut_is_learned_for_other_words(nlp, mark):
    docs = [mark(["took ", "24", "h"], [1, 2]), mark(["and ", "3", "km", " now"], [1, 2])]
    extended = extend_tokenizer(nlp, learn_cuts(docs, nlp))
    assert split(extended, "ran 100miles, can't") == ["ran", "100", "miles", ",", "ca", "n't"]
    assert measure_tokenizer(docs, extended).n_missed == 0
    assert split(nlp, "ran 100miles") == ["ran", "100miles"]


def test_a_cut_after_a_capital_before_a_full_stop_spares_abbreviations(nlp, mark):
    docs = [mark(["Comet ", "67P", ". The U.S. and the U.K. saw it"], [1])]
    extended = extend_tokenizer(nlp, learn_cuts(docs, nlp))
    assert split(extended, "See 46P. The U.S. did") == ["See", "46P", ".", "The", "U.S.", "did"]


def test_half_words_teach_no_cut(nlp, mark):
    docs = [mark(["Honda", "fahrer fahren oft durch Japan"], [0])]
    assert learn_cuts(docs, nlp) == []


@pytest.mark.parametrize("character", list("-]^[\\/.+'"))
def test_any_character_can_be_part_of_a_cut(nlp, mark, character):
    docs = [mark(["a ", f"x{character}", "9z"], [1])] * 2
    cuts = learn_cuts(docs, nlp)
    assert measure_tokenizer(docs, extend_tokenizer(nlp, cuts)).n_missed == 0


def test_a_tokenizer_is_written_and_loaded(nlp, mark, tmp_path):
    docs = [mark(["took ", "24", "h"], [1, 2])]
    extended = extend_tokenizer(nlp, learn_cuts(docs, nlp))
    for _ in range(2):
        write_tokenizer(extended, tmp_path / "new" / "tokenizer")
    loaded = load_tokenizer(str(tmp_path / "new" / "tokenizer"))
    assert split(loaded, "24h") == ["24", "h"]
    again = extend_tokenizer(loaded, [])
    assert split(again, "24h") == ["24", "h"]


def test_a_trained_pipeline_takes_the_tokenizer_over(nlp, mark, tmp_path):
    cuts = learn_cuts([mark(["took ", "24", "h"], [1, 2])], nlp)
    write_tokenizer(extend_tokenizer(nlp, cuts), tmp_path / "tokenizer")
    callback = {
        "@callbacks": "spacy.copy_from_base_model.v1",
        "tokenizer": str(tmp_path / "tokenizer"),
    }
    trained = spacy.blank("en", config={"initialize": {"before_init": callback}})
    trained.initialize()
    trained.to_disk(tmp_path / "model")
    write_tokenizer(nlp, tmp_path / "tokenizer")  # no longer needed
    assert split(spacy.load(tmp_path / "model"), "ran 9km") == ["ran", "9", "km"]


def test_a_folder_with_other_content_is_not_replaced(nlp, tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match="exists and is not a tokenizer"):
        write_tokenizer(nlp, tmp_path)
    pipeline = spacy.blank("en")
    pipeline.add_pipe("sentencizer")
    pipeline.to_disk(tmp_path / "model")
    with pytest.raises(ValueError, match="exists and is not a tokenizer"):
        write_tokenizer(nlp, tmp_path / "model")


def test_a_tokenizer_comes_from_a_language_or_a_pipeline(tmp_path):
    assert load_tokenizer("de").lang == "de"
    pipeline = spacy.blank("de")
    pipeline.add_pipe("sentencizer")
    pipeline.to_disk(tmp_path / "model")
    loaded = load_tokenizer(str(tmp_path / "model"))
    assert loaded.lang == "de" and loaded.component_names == []
    with pytest.raises(ImportError, match="zzz"):
        load_tokenizer("zzz")


def test_a_language_without_rules_is_refused():
    with pytest.raises(ValueError, match=r"'zh' is ChineseTokenizer.*--align expand"):
        extend_tokenizer(spacy.blank("zh"), [])

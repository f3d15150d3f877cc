import warnings

import pytest
import spacy
from spacy import registry
from spacy.tokens import Doc
from spacy.training import Example

from spacy_tabcnn.corpora.docbin import write_docbin
from spacy_tabcnn.corpora.reader import RelationCorpus
from spacy_tabcnn.relations import has_relations


@pytest.fixture
def two_sentences(nlp):
    """Two sentences with three persons, a relation in the first sentence and one across both."""
    words = ["Ada", "met", "Charles", "in", "London", ".", "He", "built", "engines", "."]
    ents = ["B-PER", "O", "B-PER", "O", "B-LOC", "O", "B-PER", "O", "O", "O"]
    doc = Doc(nlp.vocab, words=words, ents=ents, sent_starts=[i in (0, 6) for i in range(10)])
    doc._.relations = [(doc[0:1], doc[2:3], "KNOWS", 0.5), (doc[6:7], doc[2:3], "SAME")]
    doc.user_data["orig_id"] = "d1"
    return doc


@pytest.fixture
def numbered(nlp, tmp_path):
    """A file of twenty documents, each holding its number."""
    write_docbin(tmp_path / "numbers.spacy", [Doc(nlp.vocab, words=[str(i)]) for i in range(20)])
    return tmp_path / "numbers.spacy"


def save(path, *docs):
    write_docbin(path / "corpus.spacy", docs)
    return path / "corpus.spacy"


def texts(examples):
    return [eg.reference.text.strip() for eg in examples]


def relations_of(doc):
    return [(rel.head.text, rel.tail.text, rel.label) for rel in doc._.relations]


def test_the_reader_is_registered(numbered, nlp):
    config = {
        "corpus": {"@readers": "spacy-tabcnn.RelationCorpus.v1", "path": str(numbered), "limit": 2}
    }
    corpus = registry.resolve(config)["corpus"]
    assert isinstance(corpus, RelationCorpus)
    assert texts(corpus(nlp)) == ["0", "1"]


def test_examples_hold_the_annotation_as_reference_only(nlp, tmp_path, two_sentences):
    [eg] = RelationCorpus(save(tmp_path, two_sentences))(nlp)
    assert isinstance(eg, Example)
    assert relations_of(eg.reference) == [("Ada", "Charles", "KNOWS"), ("He", "Charles", "SAME")]
    assert [ent.text for ent in eg.reference.ents] == ["Ada", "Charles", "London", "He"]
    assert eg.reference.user_data["orig_id"] == "d1"
    assert not has_relations(eg.predicted)
    assert not eg.predicted.has_annotation("ENT_IOB")


def test_gold_tokens_are_kept_by_default(nlp, tmp_path):
    doc = Doc(
        nlp.vocab, words=["U.S.A.-based", "firms", "do", "n't"], spaces=[True, True, False, False]
    )
    [eg] = RelationCorpus(save(tmp_path, doc))(nlp)
    assert [token.text_with_ws for token in eg.predicted] == [token.text_with_ws for token in doc]


def test_without_gold_tokens_the_pipeline_tokenises_and_aligns(nlp, tmp_path):
    doc = Doc(
        nlp.vocab, words=["London-based", "firms"], spaces=[True, False], ents=["B-ORG", "I-ORG"]
    )
    [eg] = RelationCorpus(save(tmp_path, doc), gold_tokens=False)(nlp)
    assert [token.text for token in eg.predicted] == ["London", "-", "based", "firms"]
    assert eg.get_aligned_ner() == ["B-ORG", "I-ORG", "I-ORG", "L-ORG"]


def test_gold_entities_are_given_to_the_pipeline_if_wanted(nlp, tmp_path, two_sentences):
    (example,) = RelationCorpus(save(tmp_path, two_sentences), gold_entities=True)(nlp)
    entities = [(ent.start, ent.end, ent.label_) for ent in example.predicted.ents]
    assert entities == [(0, 1, "PER"), (2, 3, "PER"), (4, 5, "LOC"), (6, 7, "PER")]
    assert not has_relations(example.predicted)
    with pytest.raises(ValueError, match=r"gold_entities .* require gold_tokens = true"):
        RelationCorpus(tmp_path, gold_entities=True, gold_tokens=False)


def test_a_component_may_replace_gold_entities_without_a_warning(tiny_run, tiny_corpus):
    nlp = spacy.load(tiny_run / "model-last")
    examples = list(RelationCorpus(tiny_corpus, gold_entities=True)(nlp))
    assert nlp.evaluate(examples)["ents_f"] > 0.9


def test_split_sentences_keeps_entities_relations_and_ids(nlp, tmp_path, two_sentences):
    with pytest.warns(UserWarning, match="1 relations across sentences"):
        first, second = RelationCorpus(save(tmp_path, two_sentences), split_sentences=True)(nlp)
    assert texts([first, second]) == ["Ada met Charles in London .", "He built engines ."]
    assert [(ent.text, ent.label_) for ent in second.reference.ents] == [("He", "PER")]
    assert relations_of(first.reference) == [("Ada", "Charles", "KNOWS")]
    assert first.reference._.relations[0].score == 0.5
    assert first.reference._.relations[0].head.label_ == "PER"
    assert has_relations(second.reference) and relations_of(second.reference) == []
    assert first.reference.user_data["orig_id"] == second.reference.user_data["orig_id"] == "d1"


def test_relations_of_a_later_sentence_move_to_its_start(nlp, tmp_path, two_sentences):
    two_sentences._.relations = [(two_sentences[6:7], two_sentences[8:9], "BUILDS")]
    _, second = RelationCorpus(save(tmp_path, two_sentences), split_sentences=True)(nlp)
    assert relations_of(second.reference) == [("He", "engines", "BUILDS")]
    assert (
        second.reference._.relations[0].head.start,
        second.reference._.relations[0].tail.start,
    ) == (0, 2)


def test_split_pieces_of_an_unannotated_document_are_unannotated(nlp, tmp_path):
    doc = Doc(nlp.vocab, words=["Hi", "there"], sent_starts=[True, True])
    for eg in RelationCorpus(save(tmp_path, doc), split_sentences=True)(nlp):
        assert not has_relations(eg.reference)
        assert not eg.reference.has_annotation("ENT_IOB")


def test_an_entity_across_sentences_is_counted_and_its_words_become_unannotated(nlp, tmp_path):
    ents = ["O", "B-PER", "I-PER", "O"]
    doc = Doc(
        nlp.vocab, words=["by", "J.", "Smith", "himself"], ents=ents, sent_starts=[1, 0, 1, 0]
    )
    doc._.relations = [(doc[1:3], doc[3:4], "SAME")]
    with pytest.warns(
        UserWarning, match="1 entities across sentences, 1 relations across sentences"
    ):
        first, second = RelationCorpus(save(tmp_path, doc), split_sentences=True)(nlp)
    assert [token.ent_iob_ for token in first.reference] == ["O", ""]
    assert [token.ent_iob_ for token in second.reference] == ["", "O"]


def test_documents_without_sentence_boundaries_stay_whole(nlp, numbered):
    assert len(list(RelationCorpus(numbered, split_sentences=True)(nlp))) == 20


@pytest.mark.parametrize("max_length,n_examples", [(0, 1), (10, 1), (9, 2), (6, 2)])
def test_only_documents_above_max_length_are_split(
    nlp, tmp_path, two_sentences, max_length, n_examples
):
    two_sentences._.relations = []
    corpus = RelationCorpus(save(tmp_path, two_sentences), max_length=max_length)
    assert len(list(corpus(nlp))) == n_examples


def test_sentences_above_max_length_are_skipped_with_one_warning(nlp, tmp_path, two_sentences):
    unsplit = Doc(nlp.vocab, words=["a"] * 6)
    path = save(tmp_path, two_sentences, two_sentences, unsplit)
    with pytest.warns(UserWarning) as caught:
        examples = list(RelationCorpus(path, max_length=5)(nlp))
    assert texts(examples) == ["He built engines ."] * 2
    [warning] = caught
    expected = "1 documents without sentence boundaries, 2 relations across sentences, 2 sentences"
    assert f"max_length=5: {expected}. " in str(warning.message)


def test_nothing_lost_means_no_warning(nlp, tmp_path, two_sentences):
    two_sentences._.relations = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (
            len(list(RelationCorpus(save(tmp_path, two_sentences), split_sentences=True)(nlp))) == 2
        )


def test_limit_counts_documents(nlp, numbered):
    assert texts(RelationCorpus(numbered, limit=3)(nlp)) == ["0", "1", "2"]


def test_documents_without_words_are_skipped(nlp, tmp_path):
    path = save(tmp_path, Doc(nlp.vocab), Doc(nlp.vocab, words=["one"]), Doc(nlp.vocab))
    assert texts(RelationCorpus(path, limit=1)(nlp)) == ["one"]


def test_without_shuffling_every_pass_has_the_order_of_the_file(nlp, numbered):
    corpus = RelationCorpus(numbered)
    assert texts(corpus(nlp)) == texts(corpus(nlp)) == [str(i) for i in range(20)]


def test_shuffling_gives_every_pass_another_order(nlp, numbered):
    corpus = RelationCorpus(numbered, shuffle=True)
    first, second = texts(corpus(nlp)), texts(corpus(nlp))
    assert sorted(first) == sorted(second) == sorted(str(i) for i in range(20))
    assert first != second


def test_shuffling_is_determined_by_the_seed(nlp, numbered):
    one, same, other = (RelationCorpus(numbered, shuffle=True, seed=seed) for seed in (1, 1, 2))
    orders = [[texts(corpus(nlp)), texts(corpus(nlp))] for corpus in (one, same, other)]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]


def test_reading_streams(nlp, tmp_path, numbered):
    (tmp_path / "zzz.spacy").write_bytes(b"broken")
    examples = RelationCorpus(tmp_path)(nlp)
    # The first file can be read before the second is opened.
    assert [next(examples).reference.text for _ in range(20)][-1] == "19 "
    with pytest.raises(ValueError, match=r"zzz\.spacy: not a \.spacy file"):
        next(examples)


def test_a_folder_is_read_in_order_without_hidden_and_other_files(nlp, tmp_path):
    for name in ("b.spacy", "a/x.spacy", ".hidden.spacy", ".cache/x.spacy", "notes.txt"):
        write_docbin(tmp_path / name, [Doc(nlp.vocab, words=[name])])
    assert texts(RelationCorpus(tmp_path)(nlp)) == ["a/x.spacy", "b.spacy"]


def test_path_none_is_spacys_error():
    with pytest.raises(ValueError, match="E913"):
        RelationCorpus(None)


def test_a_missing_path_is_named(nlp, tmp_path):
    with pytest.raises(ValueError, match=r"absent\.spacy: no such file or folder"):
        next(RelationCorpus(tmp_path / "absent.spacy")(nlp))


def test_a_folder_without_spacy_files_is_named(nlp, tmp_path):
    with pytest.raises(ValueError, match=r"the folder holds no \.spacy file"):
        next(RelationCorpus(tmp_path)(nlp))


def test_a_corpus_without_words_is_refused(nlp, tmp_path):
    with pytest.raises(ValueError, match="no example to read"):
        next(RelationCorpus(save(tmp_path, Doc(nlp.vocab)))(nlp))


@pytest.mark.parametrize("name", ["max_length", "limit"])
def test_negative_limits_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=f"{name} is -1; expected 0"):
        RelationCorpus(tmp_path, **{name: -1})


def test_joined_documents_hold_every_document_once(numbered, nlp):
    corpus = RelationCorpus(numbered, joined=0.5)
    assert " ".join(texts(corpus(nlp))).split() == [str(i) for i in range(20)]
    assert len(texts(RelationCorpus(numbered, joined=0.5)(nlp))) < 20


def test_documents_are_joined_anew_in_every_pass(numbered, nlp):
    corpus = RelationCorpus(numbered, joined=0.5)
    assert texts(corpus(nlp)) != texts(corpus(nlp))


def test_a_seed_fixes_the_joined_documents(numbered, nlp):
    first = texts(RelationCorpus(numbered, joined=0.5, seed=3)(nlp))
    assert texts(RelationCorpus(numbered, joined=0.5, seed=3)(nlp)) == first
    assert texts(RelationCorpus(numbered, joined=0.5, seed=4)(nlp)) != first


def test_all_given_boundaries_are_those_of_the_annotation(nlp, tmp_path, two_sentences):
    path = save(tmp_path, two_sentences, two_sentences)
    [eg] = RelationCorpus(path, joined=1.0, max_joined=2, gold_sentences=1.0)(nlp)
    assert [sent.start for sent in eg.predicted.sents] == [0, 6, 10, 16]


def test_a_share_of_the_boundaries_is_given(numbered, nlp):
    corpus = RelationCorpus(numbered, joined=1.0, min_joined=20, max_joined=20, gold_sentences=0.5)
    [eg] = corpus(nlp)
    assert 1 < len(list(eg.predicted.sents)) < 20
    assert len(list(eg.reference.sents)) == 20


def test_boundaries_are_not_given_by_default(nlp, tmp_path, two_sentences):
    [eg] = RelationCorpus(save(tmp_path, two_sentences))(nlp)
    assert not eg.predicted.has_annotation("SENT_START")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"joined": 1.5}, "joined is 1.5"),
        ({"gold_sentences": -0.1}, "gold_sentences is -0.1"),
        ({"min_joined": 1}, "min_joined is 1"),
        ({"min_joined": 6}, "2 <= min_joined <= max_joined"),
        ({"gold_sentences": 1.0, "gold_tokens": False}, "require gold_tokens"),
    ],
)
def test_impossible_options_of_joining_are_refused(numbered, options, message):
    with pytest.raises(ValueError, match=message):
        RelationCorpus(numbered, **options)


def test_documents_with_and_without_relations_are_not_joined(nlp, tmp_path, two_sentences):
    unknown = Doc(nlp.vocab, words=["Rain", "."])
    path = save(tmp_path, two_sentences, two_sentences, unknown)
    corpus = RelationCorpus(path, joined=1.0, min_joined=3, max_joined=3)
    assert [has_relations(eg.reference) for eg in corpus(nlp)] == [True, False]

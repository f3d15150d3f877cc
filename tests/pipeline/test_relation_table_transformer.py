"""The component on a transformer, a tiny BERT with random weights."""

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import fix_random_seed, load_model_from_config
from thinc.api import Adam, Config

from spacy_tabcnn.models.table_model import find_heads
from spacy_tabcnn.relations import has_relations
from spacy_tabcnn.training.optimizer import AdamW

TEXTS = ["Ada Lovelace lived in London .", "Paris .", "Marie lived in Paris", "Ada"]

TRANSFORMER_CONFIG = """
[nlp]
lang = "en"
pipeline = ["transformer", "tabcnn"]

[components]

[components.transformer]
factory = "transformer"

[components.transformer.model]
@architectures = "spacy-tabcnn.TransformerModel.v1"
name = ${vars.encoder}
tokenizer_config = {"use_fast": true}
transformer_config = {}

[components.transformer.model.get_spans]
@span_getters = "spacy-transformers.strided_spans.v1"
window = 128
stride = 96

[components.tabcnn]
factory = "tabcnn"

[components.tabcnn.model]
@architectures = "spacy-tabcnn.TableModel.v1"

[components.tabcnn.model.head]
@architectures = "spacy-tabcnn.TableCNN.v1"
hidden = [8]

[vars]
encoder = null
"""
LISTENER_CONFIG = """
[components.tabcnn.model.tok2vec]
@architectures = "spacy-transformers.TransformerListener.v1"
grad_factor = 1.0

[components.tabcnn.model.tok2vec.pooling]
@layers = "spacy-tabcnn.reduce_max.v1"
"""
CONCATENATE_CONFIG = """
[components.tabcnn.model.tok2vec]
@layers = "concatenate.v1"

[components.tabcnn.model.tok2vec.*.encoder]
@architectures = "spacy-transformers.TransformerListener.v1"
grad_factor = 1.0

[components.tabcnn.model.tok2vec.*.encoder.pooling]
@layers = "spacy-tabcnn.reduce_max.v1"

[components.tabcnn.model.tok2vec.*.surface]
@architectures = "spacy.MultiHashEmbed.v2"
width = 8
attrs = ["SHAPE", "PREFIX"]
rows = [50, 50]
include_static_vectors = false
"""


@pytest.fixture(params=[LISTENER_CONFIG, CONCATENATE_CONFIG], ids=["listener", "concatenate"])
def tok2vec_config(request):
    return request.param


@pytest.fixture
def make_nlp(tiny_encoder):
    def make(tok2vec_config=LISTENER_CONFIG, *, head=None, **overrides):
        text = TRANSFORMER_CONFIG + tok2vec_config
        config = Config().from_str(text, overrides={"vars.encoder": str(tiny_encoder), **overrides})
        del config["vars"]
        if head is not None:
            config["components"]["tabcnn"]["model"]["head"] = head
        return load_model_from_config(config, auto_fill=True)

    return make


@pytest.fixture
def make_examples(make_doc):
    data = [
        (TEXTS[0], [(0, 2, "PER"), (4, 5, "LOC")], [(0, 1, "LiveIn")]),
        (TEXTS[1], [(0, 1, "LOC")], []),
        (TEXTS[2], [(0, 1, "PER"), (3, 4, "LOC")], [(0, 1, "LiveIn")]),
    ]

    def make(nlp, n_empty=0):
        docs = [
            make_doc(words, entities, relations, vocab=nlp.vocab)
            for words, entities, relations in data
        ]
        docs[1:1] = [make_doc("", [], [], vocab=nlp.vocab) for _ in range(n_empty)]
        return [Example(Doc(nlp.vocab, words=[token.text for token in doc]), doc) for doc in docs]

    return make


def train(nlp, examples, *, steps=3, drop=0.0, **options):
    """Initialise a pipeline and train it: the losses of each step."""
    fix_random_seed(0)
    nlp.initialize(lambda: examples)
    sgd = Adam(0.01)
    return [nlp.update(examples, sgd=sgd, drop=drop, **options) for _ in range(steps)]


def weights_of(nlp):
    """Copies of the weights of the encoder and of the head."""
    encoder = nlp.get_pipe("transformer").model.transformer
    (head, *_) = find_heads(nlp.get_pipe("tabcnn").model)
    return [
        [parameter.detach().numpy().copy() for parameter in module.parameters()]
        for module in (encoder, head.shims[0]._model)
    ]


def are_equal(arrays, others):
    return all(np.array_equal(one, other) for one, other in zip(arrays, others, strict=True))


def score(nlp, texts):
    """The logits of the tables of some texts: tags and relations."""
    docs = nlp.get_pipe("transformer").pipe([nlp.make_doc(text) for text in texts])
    return nlp.get_pipe("tabcnn").predict(docs)[:2]


def test_both_parts_learn(make_nlp, make_examples, tok2vec_config, head_config):
    nlp = make_nlp(tok2vec_config, head=head_config)
    examples = make_examples(nlp)
    nlp.initialize(lambda: examples)
    before = weights_of(nlp)
    losses = train(nlp, examples, steps=20)
    assert losses[-1]["tabcnn"] < losses[0]["tabcnn"] / 2
    assert not any(are_equal(*parts) for parts in zip(before, weights_of(nlp), strict=True))


def test_same_seed_same_model(make_nlp, make_examples):
    weights = []
    for _ in range(2):
        nlp = make_nlp()
        train(nlp, make_examples(nlp), drop=0.3)
        weights.append(weights_of(nlp))
    for first, second in zip(*weights, strict=True):
        assert are_equal(first, second)


def test_batches_do_not_change_scores(make_nlp, make_examples, tok2vec_config, head_config):
    """The encoder pads its batches; the table must not see it."""
    nlp = make_nlp(tok2vec_config, head=head_config)
    train(nlp, make_examples(nlp))
    together = score(nlp, TEXTS)
    alone = zip(*(score(nlp, [text]) for text in TEXTS), strict=True)
    for one, others in zip(together, alone, strict=True):
        np.testing.assert_allclose(one, np.concatenate(others), atol=1e-5)


@pytest.mark.parametrize("texts", [[""], ["", ""], ["", *TEXTS, ""]])
def test_predicting_empty_documents(make_nlp, make_examples, tok2vec_config, texts):
    nlp = make_nlp(tok2vec_config)
    train(nlp, make_examples(nlp), steps=1)
    docs = list(nlp.pipe(texts))
    assert [doc.text for doc in docs] == texts
    assert all(has_relations(doc) for doc in docs)


def test_learning_from_empty_documents(make_nlp, make_examples):
    """They change nothing."""
    weights = []
    for n_empty in (0, 2):
        nlp = make_nlp()
        train(nlp, make_examples(nlp, n_empty), steps=1)
        weights.append(weights_of(nlp))
    for first, second in zip(*weights, strict=True):
        for one, other in zip(first, second, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_frozen_transformer(make_nlp, make_examples, tok2vec_config):
    """In frozen_components and annotating_components of the [training] block."""
    nlp = make_nlp(tok2vec_config)
    nlp.initialize(lambda: make_examples(nlp))
    before = weights_of(nlp)
    losses = train(
        nlp, make_examples(nlp), steps=20, exclude=["transformer"], annotates=["transformer"]
    )
    assert losses[-1]["tabcnn"] < losses[0]["tabcnn"]
    after = weights_of(nlp)
    assert are_equal(before[0], after[0]) and not are_equal(before[1], after[1])


def test_frozen_transformer_reads_a_sentence_once(make_nlp, make_examples):
    nlp = make_nlp(**{"components.transformer.model.cache_mb": 1})
    nlp.initialize(lambda: make_examples(nlp))
    n_sequences = []
    nlp.get_pipe("transformer").model.transformer.register_forward_pre_hook(
        lambda _, args, kwargs: n_sequences.append(len(kwargs["attention_mask"])), with_kwargs=True
    )
    train(nlp, make_examples(nlp), steps=5, exclude=["transformer"], annotates=["transformer"])
    assert sum(n_sequences) == len(make_examples(nlp))


@pytest.mark.parametrize("n_layers", [2, None])
@pytest.mark.parametrize("cache_mb", [1, None])
def test_frozen_mix_of_layers(n_layers, cache_mb, make_nlp, make_examples, tmp_path):
    """The recipe of configs/conll04_frozen.cfg: nothing but the settings of encoder and
    listener. The layers are counted, and the cache is as large as needed."""
    pooling = {
        "@layers": "spacy-tabcnn.mix_layers.v1",
        "n_layers": n_layers,
        "pooling": {"@layers": "reduce_mean.v1"},
    }
    nlp = make_nlp(
        **{
            "components.transformer.model.frozen": True,
            "components.transformer.model.all_layers": True,
            "components.transformer.model.cache_mb": cache_mb,
            "components.tabcnn.model.tok2vec.pooling": pooling,
        }
    )
    nlp.initialize(lambda: make_examples(nlp))
    before = weights_of(nlp)
    n_sequences = []
    nlp.get_pipe("transformer").model.transformer.register_forward_pre_hook(
        lambda _, args, kwargs: n_sequences.append(len(kwargs["attention_mask"])), with_kwargs=True
    )
    losses = train(nlp, make_examples(nlp), steps=20)
    assert sum(n_sequences) == len(make_examples(nlp))
    assert losses[-1]["tabcnn"] < losses[0]["tabcnn"]
    after = weights_of(nlp)
    assert are_equal(before[0], after[0]) and not are_equal(before[1], after[1])
    nlp.to_disk(tmp_path / "shared")
    other = spacy.load(tmp_path / "shared")
    expected = score(nlp, TEXTS)
    for logits, same in zip(expected, score(other, TEXTS), strict=True):
        np.testing.assert_array_equal(logits, same)
    # An encoder of its own keeps the counted layers and the automatic cache.
    other.replace_listeners("transformer", "tabcnn", ["model.tok2vec"])
    other.remove_pipe("transformer")
    other.to_disk(tmp_path / "alone")
    alone = spacy.load(tmp_path / "alone")
    found = alone.get_pipe("tabcnn").predict([*map(alone.make_doc, TEXTS)])
    np.testing.assert_allclose(found.tags, expected[0], atol=1e-5)


def test_averaged_weights_of_encoder_and_head(make_nlp, make_examples):
    """They are evaluated and saved in the place of the latest ones."""
    nlp = make_nlp()
    examples = make_examples(nlp)
    nlp.initialize(lambda: examples)
    sgd = AdamW(0.01, use_averages=True)
    for _ in range(3):
        nlp.update(examples, sgd=sgd)
        sgd.step_schedules()
    latest = weights_of(nlp)
    with nlp.use_params(sgd.averages):
        averaged = weights_of(nlp)
    assert not any(are_equal(*parts) for parts in zip(latest, averaged, strict=True))
    assert all(are_equal(*parts) for parts in zip(latest, weights_of(nlp), strict=True))


def test_earlier_layers_of_the_encoder(make_nlp, make_examples):
    """As in the paper's study of layers; without any, the embeddings of the sub-words are left."""
    nlp = make_nlp(**{"components.transformer.model.transformer_config": {"num_hidden_layers": 0}})
    train(nlp, make_examples(nlp), steps=1)
    assert len(nlp.get_pipe("transformer").model.transformer.encoder.layer) == 0
    assert has_relations(nlp(TEXTS[0]))


def test_saving(make_nlp, make_examples, tmp_path, tok2vec_config):
    nlp = make_nlp(tok2vec_config)
    train(nlp, make_examples(nlp), steps=5)
    nlp.to_disk(tmp_path)
    other = spacy.load(tmp_path)
    for logits, same in zip(score(nlp, TEXTS), score(other, TEXTS), strict=True):
        np.testing.assert_array_equal(logits, same)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.usefixtures("fork_guard")
def test_worker_processes(make_nlp, make_examples):
    nlp = make_nlp()
    train(nlp, make_examples(nlp), steps=1)
    docs = list(nlp.pipe(TEXTS * 2, n_process=2, batch_size=2))
    assert [doc.text for doc in docs] == TEXTS * 2
    assert all(has_relations(doc) for doc in docs)


@pytest.mark.parametrize("text", ["Ada  lived\n in London .", "\n", "  ", "Ada \u200d lived"])
def test_words_without_sub_words(make_nlp, make_examples, make_doc, tok2vec_config, text):
    """Line breaks, second blanks and invisible characters, which the encoder's tokenizer drops."""
    nlp = make_nlp(tok2vec_config)
    train(nlp, make_examples(nlp), steps=1)
    docs = list(nlp.pipe([TEXTS[0], text]))
    assert docs[1].text == text
    assert all(np.isfinite(logits).all() for logits in score(nlp, [TEXTS[0], text]))
    reference = nlp.make_doc(text)
    reference.ents, reference._.relations = [], []
    assert np.isfinite(
        nlp.update([Example(nlp.make_doc(text), reference)], sgd=Adam(0.01))["tabcnn"]
    )


def test_a_sentence_has_the_same_logits_in_a_paragraph_as_alone(
    make_nlp, make_examples, tok2vec_config
):
    span_getter = "components.transformer.model.get_spans.@span_getters"
    nlp = make_nlp(tok2vec_config, **{span_getter: "spacy-tabcnn.sentence_spans.v1"})
    train(nlp, make_examples(nlp))
    words, starts = [], []
    for text in TEXTS:
        starts += [True] + [False] * (len(text.split()) - 1)
        words += text.split()
    paragraph = Doc(nlp.vocab, words=words, sent_starts=starts)
    alone = [Doc(nlp.vocab, words=text.split()) for text in TEXTS]
    transformer, component = nlp.get_pipe("transformer"), nlp.get_pipe("tabcnn")
    together = component.predict([transformer(paragraph)])
    apart = component.predict([transformer(doc) for doc in alone])
    np.testing.assert_allclose(together.tags, apart.tags, atol=1e-5)
    np.testing.assert_allclose(together.relations, apart.relations, atol=1e-5)

"""The components of test_baselines.py on a transformer, a tiny BERT with random weights."""

import numpy as np
import pytest
import spacy
from spacy.training import Example
from thinc.api import Adam, Config

from spacy_tabcnn.models.sentence_embeddings import SentenceInput
from spacy_tabcnn.relations import has_relations
from spacy_tabcnn.sentences import Sentences

from .test_relation_table_transformer import (
    LISTENER_CONFIG,
    TEXTS,
    TRANSFORMER_CONFIG,
    are_equal,
    make_examples,
    train,
)

__all__ = ["make_examples"]  # a fixture
SETTINGS = {
    "spert": '@architectures = "spacy-tabcnn.SpERT.v1"\nsentence_embedding = "cls"\n',
    "pfn": '@architectures = "spacy-tabcnn.PFN.v1"\nhidden = 32\n',
}


def make_config(name):
    """The config of a pipeline of an encoder and a component."""
    start = TRANSFORMER_CONFIG.split("[components.tabcnn]")[0].replace('"tabcnn"', f'"{name}"')
    component = f'[components.{name}]\nfactory = "{name}"\n[components.{name}.model]'
    listener = LISTENER_CONFIG.replace("components.tabcnn", f"components.{name}")
    return "\n".join([start, component, SETTINGS[name], listener, "[vars]\nencoder = null"])


@pytest.fixture
def make_nlp(tiny_encoder):
    def make(name):
        overrides = {"vars.encoder": str(tiny_encoder)}
        config = Config().from_str(make_config(name), overrides=overrides)
        del config["vars"]
        return spacy.util.load_model_from_config(config, auto_fill=True)

    return make


@pytest.fixture(params=SETTINGS)
def nlp(request, make_nlp):
    return make_nlp(request.param)


def component_of(nlp):
    return nlp.get_pipe(nlp.pipe_names[-1])


def weights_of(nlp):
    """Copies of the weights of the encoder and of the head."""
    encoder = nlp.get_pipe("transformer").model.transformer
    head = component_of(nlp).model.get_ref("head").shims[0]._model
    return [
        [parameter.detach().numpy().copy() for parameter in module.parameters()]
        for module in (encoder, head)
    ]


def score(nlp, texts):
    docs = nlp.get_pipe("transformer").pipe([nlp.make_doc(text) for text in texts])
    return component_of(nlp).predict(docs)


def test_both_parts_learn(nlp, make_examples):
    examples = make_examples(nlp, n_empty=1)
    nlp.initialize(lambda: examples)
    before = weights_of(nlp)
    losses = train(nlp, examples, steps=20)
    assert losses[-1][nlp.pipe_names[-1]] < losses[0][nlp.pipe_names[-1]] / 2
    assert not any(are_equal(*parts) for parts in zip(before, weights_of(nlp), strict=True))


def test_a_sentence_is_represented_by_cls(make_nlp, make_examples):
    nlp = make_nlp("spert")
    train(nlp, make_examples(nlp), steps=1)
    (doc,) = nlp.get_pipe("transformer").pipe([nlp.make_doc(TEXTS[0])])
    embeddings = (
        component_of(nlp)
        .model.get_ref("embeddings")
        .predict(SentenceInput([doc], Sentences.of_docs([doc])))
    )
    hidden = doc._.trf_data.model_output.last_hidden_state
    np.testing.assert_array_equal(embeddings.sentences, hidden[:, 0])
    assert len(embeddings.words) == len(doc)


def test_batches_do_not_change_scores(nlp, make_examples):
    train(nlp, make_examples(nlp))
    together = score(nlp, TEXTS)
    alone = [score(nlp, [text]) for text in TEXTS]
    np.testing.assert_allclose(
        together.entities, np.concatenate([one.entities for one in alone]), atol=1e-5
    )


@pytest.mark.parametrize("texts", [[""], ["", *TEXTS, ""], ["\n", "Ada  lived\n in London ."]])
def test_empty_documents_and_words_without_sub_words(nlp, make_examples, make_doc, texts):
    train(nlp, make_examples(nlp), steps=1)
    docs = list(nlp.pipe(texts))
    assert [doc.text for doc in docs] == texts
    assert all(has_relations(doc) for doc in docs)
    examples = []
    for text in texts:
        reference = nlp.make_doc(text)
        reference.ents, reference._.relations = [], []
        examples.append(Example(nlp.make_doc(text), reference))
    assert np.isfinite(nlp.update(examples, sgd=Adam(0.01))[nlp.pipe_names[-1]])


def test_replaced_listener(nlp, make_examples, tmp_path):
    """SpERT's embedding of the sentence is that of [CLS] all the same, also in the pipeline that
    was saved."""
    train(nlp, make_examples(nlp), steps=3)
    expected = score(nlp, TEXTS[:1]).entities
    nlp.replace_listeners("transformer", nlp.pipe_names[-1], ["model.tok2vec"])
    nlp.remove_pipe("transformer")
    nlp.to_disk(tmp_path)
    for copy in (nlp, spacy.load(tmp_path)):
        logits = component_of(copy).predict([copy.make_doc(TEXTS[0])])
        np.testing.assert_allclose(logits.entities, expected, atol=1e-5)

"""The component on a transformer, a tiny BERT with random weights."""

import numpy as np
import pytest
import spacy
from spacy.training import Example
from thinc.api import Adam, Config

from spacy_tabcnn.models.sentence_embeddings import SentenceInput
from spacy_tabcnn.pipeline.span_relations import SpanRelations
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
MODEL = "\n".join(
    [
        TRANSFORMER_CONFIG.split("[components.tabcnn]")[0].replace('"tabcnn"', '"spert"'),
        '[components.spert]\nfactory = "spert"\n',
        '[components.spert.model]\n@architectures = "spacy-tabcnn.SpERT.v1"\n'
        'sentence_embedding = "cls"\n',
        LISTENER_CONFIG.replace("components.tabcnn", "components.spert"),
        "[vars]\nencoder = null",
    ]
)


@pytest.fixture
def nlp(tiny_encoder):
    config = Config().from_str(MODEL, overrides={"vars.encoder": str(tiny_encoder)})
    del config["vars"]
    return spacy.util.load_model_from_config(config, auto_fill=True)


def weights_of(nlp):
    """Copies of the weights of the encoder and of the head."""
    encoder = nlp.get_pipe("transformer").model.transformer
    head = nlp.get_pipe("spert").model.get_ref("head").shims[0]._model
    return [
        [parameter.detach().numpy().copy() for parameter in module.parameters()]
        for module in (encoder, head)
    ]


def score(nlp, texts):
    docs = nlp.get_pipe("transformer").pipe([nlp.make_doc(text) for text in texts])
    return nlp.get_pipe("spert").predict(docs)


def test_both_parts_learn(nlp, make_examples):
    assert isinstance(nlp.get_pipe("spert"), SpanRelations)
    examples = make_examples(nlp, n_empty=1)
    nlp.initialize(lambda: examples)
    before = weights_of(nlp)
    losses = train(nlp, examples, steps=20)
    assert losses[-1]["spert"] < losses[0]["spert"] / 2
    assert not any(are_equal(*parts) for parts in zip(before, weights_of(nlp), strict=True))


def test_a_sentence_is_represented_by_cls(nlp, make_examples):
    train(nlp, make_examples(nlp), steps=1)
    (doc,) = nlp.get_pipe("transformer").pipe([nlp.make_doc(TEXTS[0])])
    embeddings = (
        nlp.get_pipe("spert")
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
    assert np.isfinite(nlp.update(examples, sgd=Adam(0.01))["spert"])


def test_replaced_listener(nlp, make_examples, tmp_path):
    """The sentence's embedding is that of [CLS] all the same, also in the pipeline that was
    saved."""
    train(nlp, make_examples(nlp), steps=3)
    expected = score(nlp, TEXTS[:1]).entities
    nlp.replace_listeners("transformer", "spert", ["model.tok2vec"])
    nlp.remove_pipe("transformer")
    nlp.to_disk(tmp_path)
    for copy in (nlp, spacy.load(tmp_path)):
        logits = copy.get_pipe("spert").predict([copy.make_doc(TEXTS[0])])
        np.testing.assert_allclose(logits.entities, expected, atol=1e-5)

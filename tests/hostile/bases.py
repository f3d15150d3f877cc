"""Small pipelines, of which hostile ones are made."""

from pathlib import Path

import spacy
from spacy.language import Language

from spacy_tabcnn.labels import LabelScheme

from ..tiny_models import save_tiny_encoder

TEXT = "Ada Lovelace lived in London with Marie."
_SPANS = {"@span_getters": "spacy-transformers.strided_spans.v1", "window": 32, "stride": 24}
_LISTENER = {
    "@architectures": "spacy-transformers.TransformerListener.v1",
    "pooling": {"@layers": "spacy-tabcnn.reduce_max.v1"},
    "grad_factor": 1.0,
}
_LABELS = LabelScheme(["PER", "LOC"], {"LiveIn": [("PER", "LOC")], "Knows": []}).to_dict()
_HEAD = {"@architectures": "spacy-tabcnn.TableCNN.v1", "hidden": [8]}
_SMALL = {
    "@architectures": "spacy.HashEmbedCNN.v2",
    "pretrained_vectors": None,
    "width": 8,
    "depth": 1,
    "embed_size": 50,
    "window_size": 1,
    "maxout_pieces": 2,
    "subword_features": True,
}


def build_encoder_pipeline(encoder: Path, *, own: bool = True) -> Language:
    """Build a pipeline with sentence boundaries, an encoder and a table head."""
    nlp = spacy.blank("xx")
    sentences = {"model": {"@architectures": "spacy.Tagger.v2", "tok2vec": _SMALL}}
    nlp.add_pipe("sentence_starts", config=sentences)
    architecture = "spacy-tabcnn.TransformerModel.v1"
    if not own:
        architecture = "spacy-transformers.TransformerModel.v3"
    model = {
        "@architectures": architecture,
        "name": str(encoder),
        "get_spans": _SPANS,
        "tokenizer_config": {"use_fast": True},
        "transformer_config": {},
    }
    nlp.add_pipe("transformer", config={"model": model})
    table = {"@architectures": "spacy-tabcnn.TableModel.v1", "tok2vec": _LISTENER, "head": _HEAD}
    nlp.add_pipe("tabcnn", config={"model": table, "entities": "predict", "min_score": 0.0})
    return _initialize(nlp)


def build_plain_pipeline() -> Language:
    """Build a pipeline without a transformer: a table head and spans, on spaCy's embeddings."""
    nlp = spacy.blank("xx")
    table = {"@architectures": "spacy-tabcnn.TableModel.v1", "tok2vec": _SMALL, "head": _HEAD}
    nlp.add_pipe("tabcnn", config={"model": table, "min_score": 0.0})
    return _initialize(nlp)


def build_span_pipeline() -> Language:
    """Build a pipeline with SpERT."""
    nlp = spacy.blank("xx")
    model = {
        "@architectures": "spacy-tabcnn.SpERT.v1",
        "tok2vec": _SMALL,
        "sentence_embedding": "max",
        "max_width": 3,
        "width_embedding": 4,
    }
    nlp.add_pipe("spert", config={"model": model, "min_score": 0.0})
    return _initialize(nlp)


def build_word_pair_pipeline() -> Language:
    """Build a pipeline with PFN."""
    nlp = spacy.blank("xx")
    model = {"@architectures": "spacy-tabcnn.PFN.v1", "tok2vec": _SMALL, "hidden": 6}
    nlp.add_pipe("pfn", config={"model": model, "min_score": 0.0})
    return _initialize(nlp)


def save_bases(folder: Path) -> dict[str, Path]:
    """Save all pipelines, and return their folders by name."""
    spacy.util.fix_random_seed(0)
    encoder = folder / "encoder"
    save_tiny_encoder(encoder, width=8, max_length=512)
    pipelines = {
        "encoder": build_encoder_pipeline(encoder),
        "foreign": build_encoder_pipeline(encoder, own=False),
        "plain": build_plain_pipeline(),
        "spans": build_span_pipeline(),
        "pairs": build_word_pair_pipeline(),
    }
    paths = {}
    for name, nlp in pipelines.items():
        paths[name] = folder / f"base_{name}"
        nlp.to_disk(paths[name])
    return paths


def _initialize(nlp: Language) -> Language:
    for name in ("tabcnn", "spert", "pfn"):
        if name in nlp.pipe_names:
            nlp.config["initialize"]["components"][name] = {"labels": _LABELS}
    nlp.initialize()
    return nlp

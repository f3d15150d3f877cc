"""Corpora and pipelines for the benchmarks."""

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import spacy
import typer
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training.initialize import init_nlp
from spacy.util import load_config
from spacy.vocab import Vocab
from thinc.api import Config, Model, get_torch_default_device

from spacy_tabcnn.corpora.docbin import read_docbin
from spacy_tabcnn.pipeline.relation_table import RelationTable
from spacy_tabcnn.runtime.encoder_shim import EncoderShim
from spacy_tabcnn.runtime.precision import has_bfloat16
from spacy_tabcnn.runtime.torch_shim import TorchShim

SAMPLE_TRAIN = Path("corpus/sample/train.spacy")
SAMPLE_DEV = Path("corpus/sample/dev.spacy")
MINILM = "encoders/minilm"
UNCASED_CONFIG = Path("configs/conll04_uncased.cfg")

DataOption = Annotated[Path, typer.Option("--data", help="Sentences to measure on: a .spacy file")]
TrainOption = Annotated[
    Path, typer.Option("--train", help="Training corpus, which gives the labels: a .spacy file")
]
EncoderOption = Annotated[
    str, typer.Option("--encoder", help="Folder or Hugging Face name of the encoder")
]
ConfigOption = Annotated[Path, typer.Option("--config", help="Config of the pipeline")]
ModelOption = Annotated[
    Path | None,
    typer.Option("--model", help="Trained pipeline, instead of --config, --encoder and --train"),
]

MixedPrecisionOption = Annotated[
    bool, typer.Option("--mixed-precision", help="Measure mixed precision (bfloat16) too")
]


def read_corpus(path: Path) -> list[Doc]:
    """Read the documents that have words.

    path (Path): A .spacy file.
    RETURNS (list[Doc]): Its documents.
    RAISES (ValueError): If the file does not exist or is not a .spacy file, or if it has no words.
    """
    check_corpus(path)
    docs = [doc for doc in read_docbin(path, Vocab()) if len(doc)]
    if not docs:
        raise ValueError(
            f"{path}: no document with words. Convert the corpus again with `spacy tabcnn convert`"
        )
    return docs


def check_corpus(path: Path) -> None:
    """Check that a corpus exists.

    path (Path): A .spacy file.
    RAISES (ValueError): If it does not exist.
    """
    if not path.is_file():
        raise ValueError(
            f"{path}: no such file. Make the sample corpus with "
            "`python -m spacy project run convert`, CoNLL04 with "
            "`python -m spacy project run convert-conll04`, another corpus with "
            "`python -m spacy tabcnn convert`"
        )


def describe_corpus(path: Path, docs: list[Doc]) -> str:
    """Name a corpus and its size.

    path (Path): Its file.
    docs (list[Doc]): Its documents.
    RETURNS (str): The description.
    """
    return f"{path}: {len(docs)} documents, {count_words(docs)} words"


def count_words(docs: Iterable[Doc]) -> int:
    """Count words.

    docs (Iterable[Doc]): Documents.
    RETURNS (int): Their number of words.
    """
    return sum(len(doc) for doc in docs)


def sample_batches(docs: list[Doc], n_batches: int, size: int, seed: int) -> list[list[Doc]]:
    """Draw batches of different documents.

    docs (list[Doc]): The documents.
    n_batches (int): How many batches to draw, if there are enough documents.
    size (int): Documents of a batch.
    seed (int): Determines the choice.
    RETURNS (list[list[Doc]]): The batches, all of the full size.
    RAISES (ValueError): If there are too few documents for one batch.
    """
    if len(docs) < size:
        raise ValueError(f"the corpus has {len(docs)} documents; expected at least {size}, a batch")
    shuffled = random.Random(seed).sample(docs, len(docs))
    return [shuffled[i : i + size] for i in range(0, len(docs) - size + 1, size)][:n_batches]


def read_config(path: Path, *, encoder: str, train: Path) -> Config:
    """Read the config of a pipeline and set its paths.

    path (Path): The config.
    encoder (str): Folder or name of the encoder, for configs that have `paths.encoder`.
    train (Path): The training corpus.
    RETURNS (Config): The config, its variables not yet filled in.
    RAISES (OSError): If there is no such config.
    RAISES (ValueError): If there is no such corpus, or MiniLM is wanted and has not been copied.
    """
    check_corpus(train)
    config = load_config(path)
    config["paths"].update(train=str(train), dev=str(train))
    if "encoder" in config["paths"]:
        if encoder == MINILM and not Path(encoder).is_dir():
            raise ValueError(
                f"{encoder}: no such folder. Make it with "
                f"`python -m spacy tabcnn encoder {encoder}`"
            )
        config["paths"]["encoder"] = encoder
    return config


def load_pipeline(
    model: Path | None, *, config: Path, encoder: str, train: Path
) -> tuple[Language, dict[str, str]]:
    """Load a trained pipeline, or initialise one.

    model (Path | None): The trained pipeline.
    config (Path): Without one, the config of the pipeline.
    encoder (str): Its encoder.
    train (Path): Its training corpus, which gives the labels.
    RETURNS (tuple[Language, dict[str, str]]): The pipeline, and its description for a report.
    RAISES (OSError): If there is no such pipeline or config.
    RAISES (ValueError): If there is no such corpus or encoder.
    """
    if model is not None:
        nlp, description = spacy.load(model), f"{model}, trained"
    else:
        nlp = init_nlp(read_config(config, encoder=encoder, train=train))
        description = f"{config}, initialised on {train}, not trained"
    switch_cache_off(nlp)
    return nlp, {"pipeline": description, "encoder": describe_encoder(nlp)}


def switch_cache_off(nlp: Language) -> None:
    """Let a frozen encoder keep no output, so that each round computes everything again.

    nlp (Language): The pipeline, with or without an encoder.
    """
    transformer = find_transformer(nlp)
    if transformer is None:
        return
    shim = transformer.model.layers[0].shims[0]
    if isinstance(shim, EncoderShim):
        shim.cache_size = 0


@contextmanager
def mixed_precision(nlp: Language, enabled: bool = True) -> Iterator[None]:
    """Compute matrix products in bfloat16 within a block, whatever the pipeline's settings are.

    nlp (Language): The pipeline.
    enabled (bool): False for float32.
    RAISES (ValueError): If the device is no faster in bfloat16.
    """
    device = get_torch_default_device()
    if enabled and not has_bfloat16(device):
        raise ValueError(
            f"--mixed-precision: this device ({device.type}) computes no faster in bfloat16; "
            "leave it out"
        )
    models = (getattr(pipe, "model", None) for _, pipe in nlp.pipeline)
    nodes = (node for model in models if isinstance(model, Model) for node in model.walk())
    shims = {id(shim): shim for node in nodes for shim in node.shims}
    own = [shim for shim in shims.values() if isinstance(shim, TorchShim)]
    before = [shim.use_bfloat16 for shim in own]
    for shim in own:
        shim.use_bfloat16 = enabled
    try:
        yield
    finally:
        for shim, value in zip(own, before, strict=True):
            shim.use_bfloat16 = value


def find_component(nlp: Language) -> RelationTable:
    """Find the table component of a pipeline.

    nlp (Language): The pipeline.
    RETURNS (RelationTable): The component.
    RAISES (ValueError): If there is none.
    """
    for _, pipe in nlp.pipeline:
        if isinstance(pipe, RelationTable):
            return pipe
    raise ValueError(
        f"the pipeline has the components {nlp.pipe_names}; expected 'tabcnn' or 'relation_table'"
    )


def find_transformer(nlp: Language) -> Any | None:
    """Find the shared encoder of a pipeline.

    nlp (Language): The pipeline.
    RETURNS (Any | None): The component, if there is one. Its model's first layer holds the Hugging
        Face encoder.
    """
    for name, pipe in nlp.pipeline:
        if nlp.get_pipe_meta(name).factory == "transformer":
            return pipe
    return None


def describe_encoder(nlp: Language) -> str:
    """Name the encoder of a pipeline.

    nlp (Language): The pipeline.
    RETURNS (str): Its name and its size.
    """
    transformer = find_transformer(nlp)
    if transformer is None:
        return "none: the component's own tok2vec"
    encoder = transformer.model.transformer
    n_parameters = sum(parameter.numel() for parameter in encoder.parameters())
    return (
        f"{transformer.model.attrs['name']}, {type(encoder).__name__}, "
        f"{n_parameters / 1e6:.1f} million parameters"
    )

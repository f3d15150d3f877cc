"""The device of these tests, and pipelines that are the same on the CPU and on the device.

`pytest --gpu` runs these tests, and no others, on the first GPU. Otherwise they are skipped.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import fix_random_seed, load_model_from_config
from thinc.api import Config, require_cpu, require_gpu
from thinc.util import gpu_is_available, to_numpy

TEXTS = (
    "Ada Lovelace lived in London .",
    "Paris is home to Marie Curie .",
    "Grace Hopper of the Navy lived in New York City .",
    "It rained all day .",
    "Ada",
)
DATA = [
    (TEXTS[0], [(0, 2, "PER"), (4, 5, "LOC")], [(0, 1, "LiveIn")]),
    (TEXTS[1], [(0, 1, "LOC"), (4, 6, "PER")], [(1, 0, "LiveIn")]),
    (
        TEXTS[2],
        [(0, 2, "PER"), (4, 5, "ORG"), (7, 10, "LOC")],
        [(0, 1, "WorkFor"), (0, 2, "LiveIn")],
    ),
    (TEXTS[3], [], []),
]
TRANSFORMER = """
[components.transformer]
factory = "transformer"

[components.transformer.model]
@architectures = "spacy-tabcnn.TransformerModel.v1"
name = ${vars.encoder}
tokenizer_config = {"use_fast": true}
transformer_config = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
frozen = ${vars.frozen}
all_layers = ${vars.frozen}
cache_mb = ${vars.cache_mb}
mixed_precision = ${vars.mixed_precision}

[components.transformer.model.get_spans]
@span_getters = "spacy-tabcnn.sentence_spans.v1"
window = 6
stride = 4
"""
LISTENER = """
@architectures = "spacy-transformers.TransformerListener.v1"
grad_factor = 1.0
pooling = {"@layers": "spacy-tabcnn.reduce_max.v1"}
"""
MIX = """
@architectures = "spacy-transformers.TransformerListener.v1"
grad_factor = 1.0

[components.tabcnn.model.tok2vec.*.encoder.pooling]
@layers = "spacy-tabcnn.mix_layers.v1"
n_layers = 2
pooling = {"@layers": "spacy-tabcnn.reduce_max.v1"}
"""
TABLE = """
[components.tabcnn]
factory = "tabcnn"
max_length = 10

[components.tabcnn.model]
@architectures = "spacy-tabcnn.TableModel.v1"

[components.tabcnn.model.tok2vec]
@layers = "concatenate.v1"

[components.tabcnn.model.tok2vec.*.surface]
@architectures = "spacy.MultiHashEmbed.v2"
width = 8
attrs = ["SHAPE", "PREFIX"]
rows = [50, 50]
include_static_vectors = false
"""
TABLE_ENCODER = "\n[components.tabcnn.model.tok2vec.*.encoder]"
CNN = '\n[components.tabcnn.model.head]\n@architectures = "spacy-tabcnn.TableCNN.v1"\nhidden = [16]'
BIAFFINE = '\n[components.tabcnn.model.head]\n@architectures = "spacy-tabcnn.TableBiaffine.v1"'
SEQUENCE = """
[components.tabcnn.model.head]
@architectures = "spacy-tabcnn.TableSequence.v1"
hidden = 48
n_layers = 2
n_heads = 4
"""
PAIRS = """
[components.tabcnn.model.head]
@architectures = "spacy-tabcnn.TablePairs.v1"
units = 16

[components.tabcnn.model.head.table]
@architectures = "spacy-tabcnn.TableCNN.v1"
hidden = [16]
"""
LSTM = """
[components.tabcnn.model.head]
@architectures = "spacy-tabcnn.TableLSTM.v1"
units = 16

[components.tabcnn.model.head.table]
@architectures = "spacy-tabcnn.TableCNN.v1"
hidden = [16]
"""
SPERT = """
[components.spert]
factory = "spert"

[components.spert.model]
@architectures = "spacy-tabcnn.SpERT.v1"
sentence_embedding = "cls"

[components.spert.model.tok2vec]
"""
PFN = """
[components.pfn]
factory = "pfn"
max_length = 10

[components.pfn.model]
@architectures = "spacy-tabcnn.PFN.v1"
hidden = 16
dropconnect = 0.0

[components.pfn.model.tok2vec]
"""
SENTER = '\n[components.senter]\nfactory = "sentence_starts"\n'
NER = """
[components.ner]
factory = "ner"

[components.ner.model]
@architectures = "spacy.TransitionBasedParser.v2"
state_type = "ner"
extra_state_tokens = false
hidden_width = 8
maxout_pieces = 2
use_upper = false

[components.ner.model.tok2vec]
@architectures = "spacy-transformers.TransformerListener.v1"
grad_factor = 1.0
pooling = {"@layers": "reduce_mean.v1"}
"""
HASHES = '\n[components.tabcnn]\nfactory = "tabcnn"\n'
# The names of the components of this package that predict.
COMPONENTS = {"tabcnn", "spert", "pfn"}
# The components of each pipeline, and their blocks of the config.
PIPELINES = {
    "cnn": ('["senter", "transformer", "tabcnn"]', SENTER + TABLE + TABLE_ENCODER + LISTENER + CNN),
    "biaffine": ('["transformer", "tabcnn"]', TABLE + TABLE_ENCODER + LISTENER + BIAFFINE),
    "sequence": ('["transformer", "tabcnn"]', TABLE + TABLE_ENCODER + LISTENER + SEQUENCE),
    "pairs": ('["transformer", "tabcnn"]', TABLE + TABLE_ENCODER + LISTENER + PAIRS),
    "lstm": ('["transformer", "tabcnn"]', TABLE + TABLE_ENCODER + LISTENER + LSTM),
    "frozen": ('["transformer", "tabcnn"]', TABLE + TABLE_ENCODER + MIX + CNN),
    "spert": ('["transformer", "spert"]', SPERT + LISTENER),
    "pfn": ('["transformer", "pfn"]', PFN + LISTENER),
    "two listeners": (
        '["transformer", "tabcnn", "ner"]',
        TABLE + TABLE_ENCODER + LISTENER + CNN + NER,
    ),
    "hashes": ('["tabcnn"]', HASHES),
}


class Device(NamedTuple):
    """The device of the tests.

    gpu_id (int): Number of the GPU; -1 for the CPU.
    """

    gpu_id: int

    @property
    def torch(self) -> torch.device:
        """The device as torch names it."""
        if self.gpu_id < 0:
            return torch.device("cpu")
        return torch.device("cuda", self.gpu_id)

    @contextmanager
    def use(self) -> Iterator[None]:
        """Have thinc compute on the device within a block."""
        if self.gpu_id >= 0:
            require_gpu(self.gpu_id)
        try:
            yield
        finally:
            require_cpu()


def find_obstacle(gpu_id: int | None) -> str:
    """Find the reason why the tests cannot run; empty if they can."""
    if gpu_id is None:
        return "runs on a GPU: pytest --gpu"
    if gpu_id >= 0 and not torch.cuda.is_available():
        return "torch finds no GPU"
    if gpu_id >= 0 and not gpu_is_available():
        return "spaCy finds no GPU: it requires CuPy for the CUDA version of torch"
    return ""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    obstacle = find_obstacle(config.getoption("--gpu"))
    folder = Path(__file__).parent
    for item in items:
        if folder in item.path.parents:
            # CuPy and torch warn of each other's older interfaces, which thinc calls.
            item.add_marker(pytest.mark.filterwarnings("default"))
            if obstacle:
                item.add_marker(pytest.mark.skip(reason=obstacle))


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> Device:
    print(f"PyTorch {torch.__version__}, TF32 off in products", file=sys.stderr)
    return Device(request.config.getoption("--gpu"))


@pytest.fixture(scope="session")
def make_nlp(tiny_encoder: Path) -> Callable[..., Language]:
    """Make a pipeline of `PIPELINES` on the device that thinc uses."""

    def make(name: str, **settings: object) -> Language:
        names, blocks = PIPELINES[name]
        is_frozen = name == "frozen"
        values = {
            "vars.encoder": str(tiny_encoder),
            "vars.frozen": is_frozen,
            "vars.cache_mb": int(is_frozen),
            "vars.mixed_precision": False,
            **settings,
        }
        text = f'[nlp]\nlang = "en"\npipeline = {names}\n\n[components]\n{blocks}'
        if name != "hashes":
            text += TRANSFORMER
        variables = "".join(f"{key.split('.')[1]} = null\n" for key in values)
        config = Config().from_str(f"{text}\n[vars]\n{variables}", overrides=values)
        del config["vars"]
        return load_model_from_config(config, auto_fill=True)

    return make


@pytest.fixture(scope="session")
def make_examples(make_doc: Callable[..., Doc]) -> Callable[[Language], list[Example]]:
    def make(nlp: Language) -> list[Example]:
        examples = []
        for words, entities, relations in DATA:
            doc = make_doc(words, entities, relations, vocab=nlp.vocab)
            examples.append(Example(Doc(nlp.vocab, words=words.split()), doc))
        return examples

    return make


@pytest.fixture(scope="session")
def make_pair(
    device: Device,
    make_nlp: Callable[..., Language],
    make_examples: Callable[[Language], list[Example]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., tuple[Language, Language]]:
    """Make a pipeline with random weights on the CPU, and the same one on the device, from disk."""

    def make(name: str, **settings: object) -> tuple[Language, Language]:
        folder = tmp_path_factory.mktemp("pair")
        nlp = make_nlp(name, **settings)
        fix_random_seed(0)
        nlp.initialize(lambda: make_examples(nlp))
        nlp.to_disk(folder)
        with device.use():
            return nlp, spacy.load(folder)

    return make


def words_of(nlp: Language, texts: tuple[str, ...] = TEXTS) -> list[Doc]:
    """Documents without annotation."""
    return [Doc(nlp.vocab, words=text.split()) for text in texts]


def on_host(array: object) -> np.ndarray:
    """An array of any kind as a numpy array."""
    if isinstance(array, torch.Tensor):
        return array.detach().float().cpu().numpy()
    return to_numpy(array)


def assert_near(found: object, wanted: object, *, tolerance: float) -> None:
    """Check that arrays differ by a share of the largest element at most."""
    found, wanted = on_host(found), on_host(wanted)
    assert found.shape == wanted.shape
    scale = max(float(np.abs(wanted).max(initial=0.0)), 1e-3)
    assert np.abs(found - wanted).max(initial=0.0) <= tolerance * scale

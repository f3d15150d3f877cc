"""Fixtures for the whole suite."""

import faulthandler
import importlib
import multiprocessing
import os
import signal
import subprocess
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from spacy.cli._util import app
from spacy.tokens import Doc, Span
from spacy.vocab import Vocab
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from typer.testing import CliRunner, Result

from spacy_tabcnn.relations import set_relations

from .browser import CHROMIUM, open_context
from .tiny_models import save_tiny_encoder

ROOT = Path(__file__).parents[1]
# Every table head, with options that make it small.
HEADS: dict[str, tuple[str, dict[str, Any]]] = {
    "cnn": ("spacy-tabcnn.TableCNN.v1", {"hidden": [16]}),
    "biaffine": ("spacy-tabcnn.TableBiaffine.v1", {"tag_width": 8, "rank": 8}),
    "sequence": ("spacy-tabcnn.TableSequence.v1", {"hidden": 48, "n_layers": 2, "n_heads": 4}),
    "pairs": (
        "spacy-tabcnn.TablePairs.v1",
        {"table": {"@architectures": "spacy-tabcnn.TableCNN.v1", "hidden": [16]}, "units": 16},
    ),
    "lstm": (
        "spacy-tabcnn.TableLSTM.v1",
        {"table": {"@architectures": "spacy-tabcnn.TableCNN.v1", "hidden": [16]}, "units": 16},
    ),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--gpu",
        nargs="?",
        type=int,
        const=0,
        metavar="ID",
        help="run the tests of tests/gpu, and no others, on this GPU (0 by default); -1 runs them "
        "on the CPU, to try the tests themselves",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With --gpu, leave out all folders but tests/gpu, since time on a GPU is short."""
    tests = ROOT / "tests"
    if config.getoption("--gpu") is None or collection_path.parent != tests:
        return None
    if collection_path.name not in ("gpu", "conftest.py", "__init__.py"):
        return True
    return None


@pytest.fixture(scope="session", autouse=True)
def _single_thread() -> None:
    """The models of the tests are too small to gain from a second thread."""
    torch.set_num_threads(1)


@pytest.fixture
def fork_guard(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For tests that start worker processes: the thread pools of torch and of the tokenizers run
    before they do, as in a user's program, and a test that hangs (the processes wait in vain for
    threads that they do not inherit) fails after two minutes, with the place where each process
    waits."""
    if not hasattr(signal, "SIGALRM"):
        pytest.skip("needs a timer that interrupts waiting")

    def stop(*args: object) -> None:
        waiting = multiprocessing.active_children()
        for process in waiting:
            os.kill(cast(int, process.pid), signal.SIGUSR1)
            time.sleep(1)  # the processes write their stacks one after another
            process.kill()  # spaCy would wait for it before the error gets through
        raise TimeoutError(f"no answer from {len(waiting)} worker processes")

    torch.set_num_threads(2)
    torch.ones(512, 512) @ torch.ones(512, 512)
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    Tokenizer(WordLevel({"word": 0}, unk_token="word")).encode_batch(["word", "word"])
    faulthandler.register(signal.SIGUSR1, file=2)  # worker processes inherit it
    previous = signal.signal(signal.SIGALRM, stop)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)
    faulthandler.unregister(signal.SIGUSR1)
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def vocab() -> Vocab:
    return Vocab()


@pytest.fixture(scope="session")
def make_doc(vocab: Vocab) -> Callable[..., Doc]:
    """Make a document from its words, its entities `(start, end, type)` and its relations `(head,
    tail, label)`, which name entities by their position. What is None is not annotated."""

    def make(
        words: str | Sequence[str],
        entities: list[tuple[int, int, str]] | None = None,
        relations: list[tuple[int, int, str]] | None = None,
        *,
        vocab: Vocab = vocab,
        sent_starts: list[bool] | None = None,
    ) -> Doc:
        doc = Doc(
            vocab, words=words.split() if isinstance(words, str) else words, sent_starts=sent_starts
        )
        spans = [Span(doc, *entity) for entity in entities or []]
        if entities is not None:
            doc.set_ents(spans)
        if relations is not None:
            set_relations(
                doc, [(spans[head], spans[tail], label) for head, tail, label in relations]
            )
        return doc

    return make


@pytest.fixture(scope="session")
def assert_same_annotations() -> Callable[[Iterable[Doc], Iterable[Doc]], None]:
    """Check that documents hold the same entities and relations, with the same scores to 5 digits:
    sums of numbers change in the seventh with the size of a batch and the place of an array in
    memory."""

    def parts(docs: Iterable[Doc]) -> tuple[list[object], list[float]]:
        spans, scores = [], []
        for doc in docs:
            relations = doc._.relations
            spans.append(
                (
                    doc.text,
                    [(ent.start, ent.end, ent.label_) for ent in doc.ents],
                    [(rel.head.start, rel.tail.start, rel.label) for rel in relations],
                )
            )
            scores += [*(ent._.entity_score for ent in doc.ents), *(rel.score for rel in relations)]
        return spans, scores

    def check(docs: Iterable[Doc], others: Iterable[Doc]) -> None:
        (spans, scores), (other_spans, other_scores) = parts(docs), parts(others)
        assert spans == other_spans
        assert scores == pytest.approx(other_scores, abs=1e-5)

    return check


@pytest.fixture(scope="session", params=HEADS)
def head_config(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The config of a small table head. A test that uses it is part of the suite that every head
    passes."""
    architecture, options = HEADS[request.param]
    return {"@architectures": architecture, **options}


@pytest.fixture(scope="session")
def run_spacy() -> Callable[..., Result]:
    """Run a command of spaCy's command line and return the result."""
    importlib.import_module("spacy_tabcnn.cli")

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


@pytest.fixture(scope="session")
def run(run_spacy: Callable[..., Result]) -> Callable[..., str]:
    """Run a command that must succeed, and return what it printed without the line breaks of a
    narrow terminal."""

    def run_successfully(*arguments: object) -> str:
        result = run_spacy(*arguments)
        assert result.exit_code == 0, result.output
        return " ".join(result.output.split())

    return run_successfully


@pytest.fixture(scope="session")
def tiny_config() -> Path:
    """The config of a pipeline that trains in a second."""
    return ROOT / "configs" / "test" / "tiny.cfg"


@pytest.fixture(scope="session")
def tiny_corpus(run_spacy: Callable[..., Result], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A .spacy file with ten sentences of the sample corpus."""
    folder = tmp_path_factory.mktemp("tiny_corpus")
    lines = (
        (ROOT / "assets" / "sample" / "train.jsonl")
        .read_text(encoding="utf-8")
        .splitlines(keepends=True)
    )
    (folder / "tiny.jsonl").write_text("".join(lines[:10]), encoding="utf-8")
    result = run_spacy("tabcnn", "convert", folder / "tiny.jsonl", folder / "tiny.spacy")
    assert result.exit_code == 0, result.output
    return folder / "tiny.spacy"


@pytest.fixture(scope="session")
def tiny_run(
    run_spacy: Callable[..., Result],
    tiny_config: Path,
    tiny_corpus: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder with a pipeline that knows `tiny_corpus` by heart, in `model-last`, and its training
    log, `log.jsonl`. Read only."""
    folder = tmp_path_factory.mktemp("tiny_run")
    paths = ("--paths.train", tiny_corpus, "--paths.dev", tiny_corpus)
    log = ("--training.logger.output_file", folder / "log.jsonl")
    result = run_spacy("train", tiny_config, "--output", folder, *paths, *log)
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="session")
def build_wheel(run_spacy: Callable[..., Result]) -> Callable[[Path, Path, str], Path]:
    """Make a wheel of an English pipeline with `spacy package`, in a folder and under a name, and
    return its path."""

    def run_without_isolation(command: Sequence[str], **options: Any) -> object:
        # An isolated build would download setuptools.
        assert command[1:3] == ["-m", "build"]
        return subprocess.run([*command, "--no-isolation"], stdout=subprocess.DEVNULL, **options)

    def build(model: Path, folder: Path, name: str) -> Path:
        folder.mkdir(exist_ok=True)
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            # spaCy leaves it to the garbage collector to close what it writes.
            warnings.filterwarnings("ignore", "unclosed file", ResourceWarning)
            # `spacy.cli.package` is a function too, which hides the module.
            module = importlib.import_module("spacy.cli.package")
            patch.setattr(module, "subprocess", SimpleNamespace(run=run_without_isolation))
            result = run_spacy("package", model, folder, "--build", "wheel", "--name", name)
        assert result.exit_code == 0, result.output
        return folder / f"en_{name}-0.0.0" / "dist" / f"en_{name}-0.0.0-py3-none-any.whl"

    return build


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT with random weights and single characters as sub-words, in Hugging Face's layout."""
    folder = tmp_path_factory.mktemp("tiny_encoder")
    torch.manual_seed(0)
    save_tiny_encoder(folder, width=16)
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser, one for each file of tests: its event loop would stop others of the session."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright: pip install spacy-tabcnn[dev]"
    )
    if CHROMIUM is None:
        pytest.skip("needs Chromium, for example Debian's package chromium")
    yield from open_context(playwright, tmp_path_factory.mktemp("profile"))

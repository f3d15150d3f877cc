"""Structure of the package: calls of one document, style of the code, cost of a single sentence.

Calls, files and hops are counts of `sys.setprofile`, medians over the documents of 6 words. The
command counts them for the component `tabcnn` alone with its default config, and for the pipeline
of a config with its encoder. Both first learn these documents, so that they find entities and
relations in them, as a trained pipeline does.

The command measures the package that Python imports. It measures another checkout of the
repository with that checkout first on the path:

    PYTHONPATH=../other python benchmarks/structure.py --config ../other/configs/conll04_uncased.cfg
"""

import ast
import gc
import operator
import os
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated, NamedTuple

import spacy
import torch
import typer
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Adam, Optimizer

import spacy_tabcnn

# Absolute, so that the file also runs as a script on another checkout's modules.
from benchmarks.common import (
    OutputOption,
    RepeatsOption,
    Report,
    Row,
    failures_named,
    interleave,
    median_ratio,
    publish,
)
from benchmarks.pipeline import copy_words, encoded_subwords
from benchmarks.pipelines import (
    MINILM,
    SAMPLE_TRAIN,
    UNCASED_CONFIG,
    ConfigOption,
    EncoderOption,
    ModelOption,
    TrainOption,
    describe_corpus,
    find_component,
    find_transformer,
    load_pipeline,
    read_corpus,
)

PACKAGE = Path(spacy_tabcnn.__file__).parent
# Maximum number of documents whose calls are counted.
MAX_TRACED = 20
# Sentences that are timed, of the first of the corpus.
N_TIMED = 40
DROPOUT = 0.3
# Updates that teach an untrained component the short documents, so that it finds something in them.
N_UPDATES = 60
LEARN_RATE = 1e-3
# House rules.
MAX_COMPLEXITY = 10
MAX_COLUMNS = 100
# A mention of the type `Any`, in code or in a docstring; not the word that begins a sentence.
ANY = re.compile(r"\bAny\b(?! [a-z])")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
BRANCHES = (
    ast.If,
    ast.IfExp,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.ExceptHandler,
    ast.Assert,
    ast.match_case,
)


def trace_calls(run: Callable[[], object], package: Path = PACKAGE) -> list[str]:
    """List the calls of the package's functions, at any depth, during a call.

    A comprehension counts as a function up to Python 3.11, and not from Python 3.12 on. A generator
    counts each time that it resumes.

    run (Callable[[], object]): The call.
    package (Path): The folder of the package.
    RETURNS (list[str]): The file of each called function, in the order of the calls.
    """
    files: list[str] = []
    prefix = f"{package}{os.sep}"

    def record(frame: FrameType, event: str, arg: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(prefix):
            files.append(frame.f_code.co_filename)

    sys.setprofile(record)
    try:
        run()
    finally:
        sys.setprofile(None)
    return files


def make_default(docs: list[Doc]) -> tuple[Language, Optimizer]:
    """Make a pipeline of the component `tabcnn` alone, with its default config, and train it.

    docs (list[Doc]): Annotated documents.
    RETURNS (tuple[Language, Optimizer]): The pipeline, which finds the entities and relations of
        the documents, and its optimiser.
    """
    nlp = spacy.blank("en")
    nlp.add_pipe("tabcnn")
    optimizer = nlp.initialize(lambda: make_examples(nlp, docs))
    for _ in range(N_UPDATES):
        nlp.update(make_examples(nlp, docs), sgd=optimizer)
    return nlp, optimizer


def teach(nlp: Language, docs: list[Doc]) -> None:
    """Train the table component of a pipeline until it finds the annotation of documents.

    nlp (Language): The pipeline. Its encoder keeps its weights.
    docs (list[Doc]): Annotated documents.
    """
    pipe = find_component(nlp)
    transformer = find_transformer(nlp)
    optimizer = Adam(LEARN_RATE)
    for _ in range(N_UPDATES):
        examples = make_examples(nlp, docs)
        if transformer is not None:
            transformer.update(examples, losses={})
        pipe.update(examples, sgd=optimizer)


def make_examples(nlp: Language, docs: list[Doc]) -> list[Example]:
    """Make examples whose predicted documents have words only.

    nlp (Language): The pipeline.
    docs (list[Doc]): Annotated documents.
    RETURNS (list[Example]): The examples.
    """
    return list(map(Example, copy_words(nlp, docs), docs))


def count_calls(name: str, nlp: Language, optimizer: Optimizer, docs: list[Doc]) -> list[Row]:
    """Count the package's calls, files and hops of single documents.

    The pipeline predicts each document alone, then learns from each document alone. One document
    comes first as a warm-up.

    name (str): Name of the pipeline.
    nlp (Language): The pipeline.
    optimizer (Optimizer): Applies the gradients of each update.
    docs (list[Doc]): Annotated documents.
    RETURNS (list[Row]): The medians over the documents, of a prediction and of an update.
    """
    steps: dict[str, Callable[[Example], object]] = {
        "predict": lambda eg: nlp(eg.predicted),
        "update": lambda eg: nlp.update([eg], drop=DROPOUT, sgd=optimizer),
    }
    rows = []
    for step, run in steps.items():
        traces = []
        for eg in make_examples(nlp, [docs[0], *docs]):
            traces.append(trace_calls(partial(run, eg)))
        rows.append(summarise_traces(f"{step}, {name}", traces[1:]))
    return rows


def count_hops(files: list[str]) -> int:
    """Count the pairs of consecutive calls whose functions are in different files.

    files (list[str]): The file of each called function, in the order of the calls.
    RETURNS (int): The number of pairs.
    """
    return sum(map(operator.ne, files, files[1:]))


def summarise_traces(step: str, traces: list[list[str]]) -> Row:
    """Compute the medians over the documents of a step.

    step (str): Name of the step.
    traces (list[list[str]]): The files of the calls of each document.
    RETURNS (Row): The row of the step.
    """
    return {
        "step": step,
        "calls": statistics.median(map(len, traces)),
        "files": statistics.median(map(len, map(set, traces))),
        "hops": statistics.median(map(count_hops, traces)),
    }


def compare_with_encoder(nlp: Language, docs: list[Doc], *, repeats: int) -> list[float]:
    """Time `nlp(doc)` against the forward pass of the encoder on the same sub-words, one thread.

    nlp (Language): A pipeline with an encoder.
    docs (list[Doc]): The sentences.
    repeats (int): Rounds of each sentence, after one more.
    RETURNS (list[float]): The ratio of CPU times of each sentence, the median of its rounds.
    RAISES (ValueError): If the pipeline has no encoder.
    """
    transformer = find_transformer(nlp)
    if transformer is None:
        raise ValueError("the pipeline has no transformer, which the sentence is compared with")
    encoder = transformer.model.transformer
    device = next(encoder.parameters()).device
    ratios = []
    for doc in docs:
        copies = iter(copy_words(nlp, [doc] * (repeats + 1)))
        sequences = encoded_subwords(nlp, encoder, copy_words(nlp, [doc]))
        inputs = [torch.tensor([ids], device=device) for ids in sequences]

        def annotate(copies: Iterator[Doc] = copies) -> None:
            nlp(next(copies))

        def encode(inputs: list[torch.Tensor] = inputs) -> None:
            encoder.eval()
            with torch.inference_mode():
                for ids in inputs:
                    encoder(input_ids=ids, attention_mask=torch.ones_like(ids))

        gc.collect()
        contenders: dict[str, Callable[[], object]] = {"nlp": annotate, "encoder": encode}
        seconds = interleave(contenders, repeats=repeats, clock=time.process_time)
        ratios.append(median_ratio(seconds["nlp"], seconds["encoder"]))
    return ratios


class Style(NamedTuple):
    """Counts over source files.

    lines (int): Lines that are not blank.
    complexities (dict[str, int]): Cyclomatic complexity of each function, by file, line and name.
    comprehensions (int): Comprehensions and generator expressions.
    ternaries (int): Conditional expressions.
    mentions (int): Mentions of the type `Any`.
    long_lines (int): Lines of more than 100 columns.
    """

    lines: int
    complexities: dict[str, int]
    comprehensions: int
    ternaries: int
    mentions: int
    long_lines: int


def read_style(files: list[Path]) -> Style:
    """Count lines, functions and expressions of source files.

    files (list[Path]): Python files.
    RETURNS (Style): The counts.
    """
    lines = comprehensions = ternaries = mentions = long_lines = 0
    complexities: dict[str, int] = {}
    for path in files:
        text = path.read_text(encoding="utf-8")
        mentions += len(ANY.findall(text))
        for line in text.splitlines():
            lines += bool(line.strip())
            long_lines += len(line) > MAX_COLUMNS
        for node in ast.walk(ast.parse(text)):
            comprehensions += isinstance(node, COMPREHENSIONS)
            ternaries += isinstance(node, ast.IfExp)
            if isinstance(node, FUNCTIONS):
                complexities[f"{path}:{node.lineno} {node.name}"] = measure_complexity(node)
    return Style(lines, complexities, comprehensions, ternaries, mentions, long_lines)


def measure_complexity(function: ast.AST) -> int:
    """Compute the cyclomatic complexity of a function as the library radon does.

    It is one, and one more for each branch, loop and its `else`, handler, assertion, operator of a
    Boolean expression, `for` and `if` of a comprehension. Functions inside it count for themselves.

    function (AST): The function's node.
    RETURNS (int): The complexity.
    """
    complexity = 1
    waiting = list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            continue
        complexity += isinstance(node, BRANCHES)
        if isinstance(node, ast.For | ast.AsyncFor | ast.While | ast.Try):
            complexity += bool(node.orelse)
        elif isinstance(node, ast.BoolOp):
            complexity += len(node.values) - 1
        elif isinstance(node, ast.comprehension):
            complexity += 1 + len(node.ifs)
        waiting.extend(ast.iter_child_nodes(node))
    return complexity


def style_row(room: str, style: Style) -> Row:
    """Return the row of a room: complexity, and expressions per 100 lines.

    room (str): Name of the room.
    style (Style): Its counts.
    RETURNS (Row): The row. Shares are in percent.
    """
    complexities = list(style.complexities.values()) or [0]
    complex_ones = sum(value > MAX_COMPLEXITY for value in complexities)
    per_line = 100 / max(style.lines, 1)
    return {
        "room": room,
        "lines": style.lines,
        "functions": len(style.complexities),
        "complexity": statistics.mean(complexities),
        "maximum": max(complexities),
        "% above 10": 100 * complex_ones / len(complexities),
        "comprehensions": per_line * style.comprehensions,
        "ternaries": per_line * style.ternaries,
        "Any": per_line * style.mentions,
        "% long lines": per_line * style.long_lines,
    }


def measure_style(package: Path) -> tuple[list[Row], list[Row]]:
    """Measure the code of each room of the package, and of the whole package.

    package (Path): The folder of the package.
    RETURNS (tuple[list[Row], list[Row]]): A row for each room and the package, and the functions
        with a complexity above 10.
    """
    rooms: dict[str, list[Path]] = {}
    for path in sorted(package.rglob("*.py")):
        first = path.relative_to(package).parts[0]
        rooms.setdefault(first.removesuffix(".py"), []).append(path)
    rows = [style_row(room, read_style(files)) for room, files in rooms.items()]
    whole = read_style(sorted(package.rglob("*.py")))
    rows.append(style_row("the package", whole))
    complex_ones: list[Row] = []
    for place, complexity in whole.complexities.items():
        if complexity > MAX_COMPLEXITY:
            complex_ones.append(
                {"function": place.removeprefix(f"{package}/"), "complexity": complexity}
            )
    complex_ones.sort(key=lambda row: -row["complexity"])
    return rows, complex_ones


def benchmark_structure(
    nlp: Language, docs: list[Doc], *, n_words: int, repeats: int, trained: bool
) -> Report:
    """Measure the calls of short documents, the cost of single sentences and the code.

    nlp (Language): The pipeline.
    docs (list[Doc]): Annotated documents.
    n_words (int): Length of the documents whose calls are counted.
    repeats (int): Rounds of each timed sentence.
    trained (bool): Whether the pipeline is trained. An untrained one first learns the documents.
    RETURNS (Report): The result.
    RAISES (ValueError): If no document has this length.
    """
    short = [doc for doc in docs if len(doc) == n_words][:MAX_TRACED]
    if not short:
        raise ValueError(
            f"--words: the corpus has no document of {n_words} words. Its shortest document has "
            f"{min(map(len, docs))} words"
        )
    if not trained:
        teach(nlp, short)
    calls = count_calls("default component", *make_default(short), short)
    calls += count_calls("pipeline", nlp, Adam(LEARN_RATE), short)
    rooms, complex_ones = measure_style(PACKAGE)
    tables = {
        f"Calls of the package, medians of {len(short)} documents of {n_words} words": calls,
        "Code; complexity is the mean of functions, expressions are per 100 lines": rooms,
    }
    if complex_ones:
        tables["Functions of a complexity above 10"] = complex_ones
    headline: Row = {}
    for row in calls:
        headline[row["step"]] = f"{row['calls']:g} calls / {row['files']:g} / {row['hops']:g}"
    if find_transformer(nlp) is not None:
        ratios = compare_with_encoder(nlp, docs[:N_TIMED], repeats=repeats)
        headline["nlp(doc) / encoder, CPU time"] = statistics.median(ratios)
    for column, value in rooms[-1].items():
        if column != "room":
            headline[f"code: {column}"] = value
    settings = {"package": str(PACKAGE), "timed": f"the first {min(N_TIMED, len(docs))} documents"}
    return Report(settings, headline, tables)


def structure_cli(
    *,
    model: ModelOption = None,
    config: ConfigOption = UNCASED_CONFIG,
    encoder: EncoderOption = MINILM,
    train: TrainOption = SAMPLE_TRAIN,
    data: Annotated[
        Path | None, typer.Option("--data", help="Sentences to measure on; --train by default")
    ] = None,
    words: Annotated[
        int, typer.Option("--words", min=1, help="Length of the documents to count the calls of")
    ] = 6,
    output: OutputOption = None,
    repeats: RepeatsOption = 5,
) -> None:
    """
    Calls of one short document, complexity of the code, time of a sentence against its encoder.
    """
    torch.set_num_threads(1)
    with failures_named("structure"):
        nlp, description = load_pipeline(model, config=config, encoder=encoder, train=train)
        path = train if data is None else data
        docs = read_corpus(path)
        trained = model is not None
        report = benchmark_structure(nlp, docs, n_words=words, repeats=repeats, trained=trained)
    settings = {"data": describe_corpus(path, docs), **description, **report.settings}
    publish("structure", report._replace(settings=settings), output)


if __name__ == "__main__":
    typer.run(structure_cli)

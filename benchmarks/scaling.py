"""Cost of a pipeline with growing documents and along a growing corpus."""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated

import typer
from spacy.language import Language
from spacy.tokens import Doc

from .common import (
    OutputOption,
    RepeatsOption,
    Report,
    Row,
    failures_named,
    interleave,
    peak_memory,
    publish,
    resident_memory,
    to_mebibytes,
)
from .pipelines import (
    MINILM,
    SAMPLE_DEV,
    SAMPLE_TRAIN,
    UNCASED_CONFIG,
    ConfigOption,
    DataOption,
    EncoderOption,
    ModelOption,
    TrainOption,
    describe_corpus,
    load_pipeline,
    read_corpus,
)

DOCUMENT_LENGTHS = (10, 30, 100, 300, 1_000, 3_000, 10_000)
CORPUS_SIZES = (100, 1_000, 10_000, 100_000)
# A timing repeats a shorter document until the timing covers this number of words.
WORDS_PER_TIMING = 300
# The stream's memory is compared from this size on, after the caches of a pipeline are full.
WARM_STREAM = 1_000


def up_to(sizes: tuple[int, ...], maximum: int) -> list[int]:
    """Cut a list of sizes at a maximum.

    sizes (tuple[int, ...]): Ascending sizes.
    maximum (int): The last size.
    RETURNS (list[int]): The sizes below the maximum, then the maximum.
    """
    return [size for size in sizes if size < maximum] + [maximum]


def make_document(nlp: Language, docs: list[Doc], n_words: int) -> Doc:
    """Join documents to one document without sentence boundaries.

    nlp (Language): The pipeline, for its vocabulary.
    docs (list[Doc]): The documents. If they have too few words, they are repeated.
    n_words (int): Number of words of the result.
    RETURNS (Doc): The joined document.
    """
    tokens = itertools.chain.from_iterable(itertools.cycle(docs))
    return Doc(nlp.vocab, words=[token.text for token in itertools.islice(tokens, n_words)])


def annotate_repeatedly(nlp: Language, doc: Doc, n_calls: int) -> None:
    """Annotate a document several times.

    nlp (Language): The pipeline.
    doc (Doc): The document.
    n_calls (int): Number of times.
    """
    for _ in range(n_calls):
        nlp(doc)


def measure_documents(
    nlp: Language, docs: list[Doc], lengths: list[int], *, repeats: int
) -> list[Row]:
    """Measure the cost per word of documents of different lengths.

    nlp (Language): The pipeline.
    docs (list[Doc]): The documents that supply the words.
    lengths (list[int]): Lengths in words, ascending.
    repeats (int): Number of rounds.
    RETURNS (list[Row]): A row for each length, with the peak memory of the process.
    """
    nlp(make_document(nlp, docs, 2))
    calls: dict[int, int] = {}
    peaks: dict[int, int | None] = {}
    contenders: dict[str, Callable[[], None]] = {}
    for n in lengths:
        document = make_document(nlp, docs, n)
        calls[n] = max(1, WORDS_PER_TIMING // n)
        peaks[n] = peak_memory(partial(nlp, document))
        contenders[str(n)] = partial(annotate_repeatedly, nlp, document, calls[n])
    seconds = interleave(contenders, repeats=repeats)
    costs = {n: statistics.median(seconds[str(n)]) / (n * calls[n]) for n in lengths}
    minimum = min(costs.values())
    rows: list[Row] = []
    for n, cost in costs.items():
        rows.append(
            {
                "words": n,
                "ms/word": 1000 * cost,
                "relative_to_minimum": cost / minimum,
                "peak_memory_MiB": to_mebibytes(peaks[n]),
            }
        )
    return rows


def measure_stream(
    nlp: Language,
    texts: Iterator[str],
    sizes: list[int],
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Row]:
    """Measure speed and memory along a stream of texts.

    nlp (Language): The pipeline.
    texts (Iterator[str]): The texts, at least as many as the last size.
    sizes (list[int]): Numbers of texts after which to measure, ascending.
    clock (Callable[[], float]): Returns the time, in seconds.
    RETURNS (list[Row]): A row for each size: the speed since the previous size, and the memory of
        the process.
    """
    rows: list[Row] = []
    previous, since, n_words = 0, clock(), 0
    for done, doc in enumerate(nlp.pipe(itertools.islice(texts, sizes[-1])), start=1):
        n_words += len(doc)
        if done in sizes:
            spent = clock() - since
            rows.append(
                {
                    "sentences": done,
                    "sentences/s": (done - previous) / spent,
                    "words/s": n_words / spent,
                    "memory_MiB": to_mebibytes(resident_memory()),
                }
            )
            previous, since, n_words = done, clock(), 0
    return rows


def compare_memory(stream: list[Row]) -> Row:
    """Compare the memory of the process at the end of a stream with the memory near its start.

    stream (list[Row]): The rows of `measure_stream`.
    RETURNS (Row): The ratio by its name. The ratio is None where memory cannot be measured.
    """
    start, end = stream[0], stream[-1]
    for row in stream:
        if row["sentences"] >= WARM_STREAM:
            start = row
            break
    name = (
        f"memory after {end['sentences']} sentences, "
        f"relative to the memory after {start['sentences']}"
    )
    if end["memory_MiB"] is None:
        return {name: None}
    return {name: end["memory_MiB"] / start["memory_MiB"]}


def benchmark_scaling(
    nlp: Language, docs: list[Doc], *, max_words: int, max_sentences: int, repeats: int
) -> Report:
    """Measure the cost of growing documents and of a growing corpus.

    nlp (Language): The pipeline.
    docs (list[Doc]): The documents that supply the words and the texts.
    max_words (int): Length of the longest document.
    max_sentences (int): Number of texts of the stream.
    repeats (int): Number of rounds for the documents.
    RETURNS (Report): The result.
    """
    # The stream comes first, because the longest documents leave the process with more memory
    # than a stream requires.
    texts = itertools.cycle(doc.text for doc in docs)
    stream = measure_stream(nlp, texts, up_to(CORPUS_SIZES, max_sentences))
    documents = measure_documents(nlp, docs, up_to(DOCUMENT_LENGTHS, max_words), repeats=repeats)
    growth = documents[-1]["relative_to_minimum"]
    headline = {f"ms/word at {max_words} words, relative to the minimum": growth}
    headline.update(compare_memory(stream))
    tables = {"One document, without sentence boundaries": documents, "A stream of texts": stream}
    return Report({"batch_size": nlp.batch_size}, headline, tables)


def scaling_cli(
    *,
    model: ModelOption = None,
    config: ConfigOption = UNCASED_CONFIG,
    encoder: EncoderOption = MINILM,
    train: TrainOption = SAMPLE_TRAIN,
    data: DataOption = SAMPLE_DEV,
    output: OutputOption = None,
    repeats: RepeatsOption = 5,
    max_words: Annotated[
        int, typer.Option("--max-words", min=1, help="Number of words of the longest document")
    ] = 10_000,
    max_sentences: Annotated[
        int, typer.Option("--max-sentences", min=1, help="Number of sentences of the stream")
    ] = 100_000,
) -> None:
    """
    Cost per word of longer and longer documents, speed and memory along a stream of texts.
    """
    with failures_named("scaling"):
        docs = read_corpus(data)
        nlp, description = load_pipeline(model, config=config, encoder=encoder, train=train)
        report = benchmark_scaling(
            nlp, docs, max_words=max_words, max_sentences=max_sentences, repeats=repeats
        )
    settings = {"data": describe_corpus(data, docs), **description, **report.settings}
    publish("scaling", report._replace(settings=settings), output)


if __name__ == "__main__":
    typer.run(scaling_cli)

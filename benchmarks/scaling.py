"""Cost of a pipeline as a document grows and as a corpus grows."""

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
    MINILM_CONFIG,
    SAMPLE_DEV,
    SAMPLE_TRAIN,
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
# Short documents are annotated one by one until they make up so many words.
WORDS_PER_TIMING = 300


def up_to(sizes: tuple[int, ...], greatest: int) -> list[int]:
    """Cut a list of sizes.

    sizes (tuple[int, ...]): Ascending sizes.
    greatest (int): The last size.
    RETURNS (list[int]): The sizes below it, and itself.
    """
    return [size for size in sizes if size < greatest] + [greatest]


def make_document(nlp: Language, docs: list[Doc], n_words: int) -> Doc:
    """Join documents to one without sentence boundaries.

    nlp (Language): Gives the vocabulary.
    docs (list[Doc]): The documents, used again from the first on if there are too few.
    n_words (int): Where to cut.
    RETURNS (Doc): A document of so many words.
    """
    words = (token.text for doc in itertools.cycle(docs) for token in doc)
    return Doc(nlp.vocab, words=list(itertools.islice(words, n_words)))


def measure_documents(
    nlp: Language, docs: list[Doc], lengths: list[int], *, repeats: int
) -> list[Row]:
    """Measure the cost per word of documents of different length.

    nlp (Language): The pipeline.
    docs (list[Doc]): What they are made of.
    lengths (list[int]): Their lengths, ascending.
    repeats (int): Number of rounds.
    RETURNS (list[Row]): A row for each length, with the most memory that the process held.
    """
    documents = {n: make_document(nlp, docs, n) for n in lengths}
    calls = {n: max(1, WORDS_PER_TIMING // n) for n in lengths}
    nlp(make_document(nlp, docs, 2))
    peaks = {n: peak_memory(partial(nlp, doc)) for n, doc in documents.items()}

    def make_timing(n: int) -> Callable[[], None]:
        def run() -> None:
            for _ in range(calls[n]):
                nlp(documents[n])

        return run

    seconds = interleave({str(n): make_timing(n) for n in lengths}, repeats=repeats)
    costs = {n: statistics.median(seconds[str(n)]) / (n * calls[n]) for n in lengths}
    return [
        {
            "words": n,
            "ms/word": 1000 * cost,
            "relative_to_least": cost / min(costs.values()),
            "peak_memory_MiB": to_mebibytes(peaks[n]),
        }
        for n, cost in costs.items()
    ]


def measure_stream(
    nlp: Language,
    texts: Iterator[str],
    sizes: list[int],
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Row]:
    """Measure speed and memory along a stream of texts.

    nlp (Language): The pipeline.
    texts (Iterator[str]): At least as many texts as the last size says.
    sizes (list[int]): Where to measure, in texts, ascending.
    clock (Callable[[], float]): Tells the time, in seconds.
    RETURNS (list[Row]): A row for each size: speed since the size before, and the memory of the process.
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


def benchmark_scaling(
    nlp: Language, docs: list[Doc], *, max_words: int, max_sentences: int, repeats: int
) -> Report:
    """Measure how cost grows with a document and with a corpus.

    nlp (Language): The pipeline.
    docs (list[Doc]): What both are made of.
    max_words (int): Length of the longest document.
    max_sentences (int): Number of texts of the stream.
    repeats (int): Number of rounds for the documents.
    RETURNS (Report): The result.
    """
    # Before the documents, the longest of which leave the process with more memory than a stream needs.
    stream = measure_stream(
        nlp, itertools.cycle(doc.text for doc in docs), up_to(CORPUS_SIZES, max_sentences)
    )
    documents = measure_documents(nlp, docs, up_to(DOCUMENT_LENGTHS, max_words), repeats=repeats)
    start, end = next((row for row in stream if row["sentences"] >= 1_000), stream[0]), stream[-1]
    headline = {
        f"ms/word at {max_words} words, relative to the least": documents[-1]["relative_to_least"],
        f"memory after {end['sentences']} sentences, relative to that after {start['sentences']}": (
            None if end["memory_MiB"] is None else end["memory_MiB"] / start["memory_MiB"]
        ),
    }
    tables = {"One document, without sentence boundaries": documents, "A stream of texts": stream}
    return Report({"batch_size": nlp.batch_size}, headline, tables)


def scaling_cli(
    *,
    model: ModelOption = None,
    config: ConfigOption = MINILM_CONFIG,
    encoder: EncoderOption = MINILM,
    train: TrainOption = SAMPLE_TRAIN,
    data: DataOption = SAMPLE_DEV,
    output: OutputOption = None,
    repeats: RepeatsOption = 5,
    max_words: Annotated[
        int, typer.Option("--max-words", min=1, help="Words of the longest document")
    ] = 10_000,
    max_sentences: Annotated[
        int, typer.Option("--max-sentences", min=1, help="Sentences of the stream")
    ] = 100_000,
) -> None:
    """
    Cost per word of ever longer documents, and speed and memory along a long stream of texts.
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

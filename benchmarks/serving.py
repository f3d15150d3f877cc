"""Throughput and latency of the API on this computer, against `nlp.pipe` of the same texts."""

import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from itertools import count, cycle, islice
from typing import Annotated, NamedTuple

import typer

from spacy_tabcnn.pipeline.loading import load_pipeline
from spacy_tabcnn.relations import AnnotationDict, doc_to_annotation

from .common import OutputOption, RepeatsOption, Report, Row, failures_named, interleave, publish
from .pipelines import SAMPLE_DEV, DataOption, describe_corpus, read_corpus

HOST = "127.0.0.1"
CLIENTS = (1, 8, 32)
BATCH_SIZE = 32
# Maximum difference of scores: batches differ, and sums of numbers change with them.
TOLERANCE = 1e-4
_START_SECONDS = 300


class Answer(NamedTuple):
    """The answer to a request.

    number (int): The number of its text.
    seconds (float): The time until the answer.
    annotation (AnnotationDict | None): The annotation; None if there was no good answer.
    """

    number: int
    seconds: float
    annotation: AnnotationDict | None


@contextmanager
def running_server(model: str, *options: str) -> Iterator[int]:
    """Run the API in a process of its own.

    model (str): The pipeline.
    options (str): Further options of `spacy tabcnn serve`.
    YIELDS (int): The port, on this computer.
    RAISES (OSError): If the server does not start.
    """
    port = find_port()
    command = [sys.executable, "-m", "spacy", "tabcnn", "serve", model, "--api"]
    process = subprocess.Popen([*command, "--port", str(port), *options])
    try:
        wait_until_up(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(60)


def find_port() -> int:
    """Find a free port of this computer.

    RETURNS (int): The port.
    """
    with socket.socket() as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])


def wait_until_up(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Wait until a server answers.

    port (int): Its port.
    process (Popen): Its process.
    RAISES (OSError): If it ends before, or takes too long.
    """
    end = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            with socket.create_connection((HOST, port), timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise OSError(f"the server did not start (exit code {process.poll()})")


def make_texts(texts: Sequence[str], number: int) -> list[str]:
    """Make different texts: the answer to one of them does not fit another one.

    texts (Sequence[str]): Texts of a corpus.
    number (int): Number of texts to make.
    RETURNS (list[str]): Each is its number and a text, in turn.
    """
    made = []
    for position, text in islice(zip(count(), cycle(texts), strict=False), number):
        made.append(f"{'number ' * (position % 7)}{position} : {text}")
    return made


def send_all(port: int, texts: Sequence[str], n_clients: int) -> list[Answer]:
    """Send each text as a request of its own, from several clients at once.

    port (int): The port of the server.
    texts (Sequence[str]): The texts.
    n_clients (int): Number of clients. Each sends its next request when it has the answer.
    RETURNS (list[Answer]): The answers, one for each request.
    """
    shares = []
    for first in range(n_clients):
        shares.append(list(islice(enumerate(texts), first, None, n_clients)))
    with ThreadPoolExecutor(n_clients) as pool:
        answers: list[Answer] = []
        for part in pool.map(lambda share: _send(port, share), shares):
            answers += part
    return answers


def count_errors(answers: Sequence[Answer], expected: Sequence[AnnotationDict]) -> tuple[int, int]:
    """Count the requests without an answer, and the answers that belong to other texts.

    answers (Sequence[Answer]): The answers.
    expected (Sequence[AnnotationDict]): The annotation of each text, by `nlp.pipe`.
    RETURNS (tuple[int, int]): The number of lost and of wrong answers.
    """
    right: set[int] = set()
    n_wrong = 0
    for answer in answers:
        if answer.annotation is None:
            continue
        if is_same(answer.annotation, expected[answer.number]):
            right.add(answer.number)
        else:
            n_wrong += 1
    return len(expected) - len(right) - n_wrong, n_wrong


def is_same(annotation: AnnotationDict, other: AnnotationDict) -> bool:
    """Compare two annotations.

    annotation (AnnotationDict): An annotation.
    other (AnnotationDict): Another one.
    RETURNS (bool): Whether they have the same entities and relations, with about the same scores.
    """
    items, scores = _divide(annotation)
    other_items, other_scores = _divide(other)
    if items != other_items:
        return False
    return all(abs(a - b) <= TOLERANCE for a, b in zip(scores, other_scores, strict=True))


def _divide(annotation: AnnotationDict) -> tuple[list[object], list[float]]:
    """Return the entities and relations without scores, and the scores."""
    items: list[object] = []
    scores = []
    for entity in annotation["entities"]:
        items.append((entity["start"], entity["end"], entity["label"]))
        scores.append(entity["score"] or 0.0)
    for relation in annotation["relations"]:
        items.append((relation["head"], relation["tail"], relation["label"]))
        scores.append(relation["score"])
    return items, scores


def _send(port: int, share: Sequence[tuple[int, str]]) -> list[Answer]:
    """Send the requests of one client over one connection."""
    connection = HTTPConnection(HOST, port, timeout=_START_SECONDS)
    answers = []
    for number, text in share:
        begin = time.perf_counter()
        annotation = _ask(connection, text)
        answers.append(Answer(number, time.perf_counter() - begin, annotation))
    connection.close()
    return answers


def _ask(connection: HTTPConnection, text: str) -> AnnotationDict | None:
    """Send a request, and return the annotation; None if there is no good answer."""
    body = json.dumps({"text": text})
    try:
        connection.request("POST", "/annotate", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        content = response.read()
    except (OSError, HTTPException):
        connection.close()
        return None
    if response.status != 200:
        return None
    [annotation] = json.loads(content)["annotations"]
    result: AnnotationDict = annotation
    return result


def measure(port: int, texts: Sequence[str], n_clients: int) -> Row:
    """Measure throughput and latency.

    port (int): The port of the server.
    texts (Sequence[str]): The texts of the requests.
    n_clients (int): Number of clients.
    RETURNS (Row): The row of a table.
    """
    begin = time.perf_counter()
    answers = send_all(port, texts, n_clients)
    seconds = time.perf_counter() - begin
    latencies = sorted(answer.seconds for answer in answers)
    return {
        "clients": n_clients,
        "requests/s": len(texts) / seconds,
        "p50_ms": 1000 * statistics.median(latencies),
        "p99_ms": 1000 * latencies[min(len(latencies) - 1, int(0.99 * len(latencies)))],
        "failed": sum(answer.annotation is None for answer in answers),
    }


def serving_cli(
    model: Annotated[
        str, typer.Option("--model", help="Trained pipeline")
    ] = "training/sample/model-best",
    data: DataOption = SAMPLE_DEV,
    requests: Annotated[
        int, typer.Option("--requests", min=1, help="Requests for each number of clients")
    ] = 500,
    check: Annotated[
        int,
        typer.Option(
            "--check", min=0, help="Requests of 32 clients whose answers are compared, one by one"
        ),
    ] = 10_000,
    repeats: RepeatsOption = 3,
    output: OutputOption = None,
) -> None:
    """Measure the API at 1, 8 and 32 clients against `nlp.pipe`, and check its answers."""
    with failures_named("serving"):
        docs = read_corpus(data)
        nlp = load_pipeline(model)
        texts = make_texts([doc.text for doc in docs], max(requests, check))

        def pipe() -> list[AnnotationDict]:
            return list(map(doc_to_annotation, nlp.pipe(texts[:requests], batch_size=BATCH_SIZE)))

        seconds = interleave({"nlp.pipe": pipe}, repeats=repeats)["nlp.pipe"]
        speed = requests / statistics.median(seconds)
        rows = []
        with running_server(model) as port:
            send_all(port, texts[:BATCH_SIZE], 1)  # warm-up
            for n_clients in CLIENTS:
                rows.append(_measure_repeatedly(port, texts[:requests], n_clients, repeats, speed))
            answers = send_all(port, texts[:check], max(CLIENTS))
        expected = list(map(doc_to_annotation, nlp.pipe(texts[:check], batch_size=BATCH_SIZE)))
        n_lost, n_wrong = count_errors(answers, expected)
    headline: Row = {"nlp.pipe, texts/s": speed, "checked": check, "lost": n_lost}
    headline["wrong"] = n_wrong
    settings = {"model": model, "data": describe_corpus(data, docs), "requests": requests}
    publish("serving", Report(settings, headline, {"API": rows}), output)
    if n_lost or n_wrong:
        raise typer.Exit(1)


def _measure_repeatedly(
    port: int, texts: Sequence[str], n_clients: int, repeats: int, speed: float
) -> Row:
    """Return the row of the round with the median throughput, relative to `nlp.pipe`."""
    rounds = [measure(port, texts, n_clients) for _ in range(repeats)]
    rounds.sort(key=lambda row: float(row["requests/s"]))
    row = rounds[len(rounds) // 2]
    row["relative to nlp.pipe"] = row["requests/s"] / speed
    return row


if __name__ == "__main__":
    typer.run(serving_cli)

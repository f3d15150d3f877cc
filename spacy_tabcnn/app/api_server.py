"""The server of the API, by uvicorn."""

import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from types import FrameType

from spacy.language import Language
from thinc.api import require_gpu

from ..bulk.rows import RowResult
from ..bulk.texts import annotate_texts, describe_marks
from ..pipeline.base import RelationPipe
from ..pipeline.loading import lacks_sentences, load_pipeline
from ..runtime.heap import freeze_heap
from .api import ApiLimits, ServedPipeline, make_api
from .batcher import DEFAULT_BATCH
from .guard import clean_token
from .texts import MAX_MARKS

_LOGGER = logging.getLogger("uvicorn.error")
# Seconds that requests in flight have to end after the signal to stop.
SHUTDOWN_SECONDS = 30


def serve_api(
    model: str,
    *,
    host: str = "127.0.0.1",
    port: int = 8501,
    token: str | None = None,
    gpu_id: int = -1,
    limits: ApiLimits | None = None,
) -> None:
    """Serve the API until it is interrupted. Requests in flight are answered first.

    If the pipeline does not end its work in time, the process ends with exit code 1.

    model (str): Name or folder of the pipeline.
    host (str): Address at which the server listens.
    port (int): Port at which the server listens.
    token (str | None): The token that requests need, see `clean_token`; None for none.
    gpu_id (int): The GPU, or -1 for the CPU.
    limits (ApiLimits | None): The limits of requests; None for the default ones.
    RAISES (ImportError): If FastAPI or uvicorn is missing.
    RAISES (OSError): If the server cannot listen there.
    RAISES (ValueError): If there is no such pipeline, or the token is empty.
    """
    try:
        from uvicorn import Config, Server
    except ImportError as err:
        raise ImportError(
            f'The API needs uvicorn ({err}). Install it with: pip install "spacy-tabcnn[api]"'
        ) from err
    token = clean_token(token)
    limits = limits or ApiLimits()
    executor = ThreadPoolExecutor(1, thread_name_prefix="pipeline")
    try:
        # In the thread that annotates: the choice of the GPU is valid for one thread.
        pipeline = executor.submit(load_served, model, gpu_id, limits.batch_size).result()
        app = make_api(pipeline, executor, limits=limits, token=token)
        config = Config(
            app,
            host=host,
            port=port,
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="on",
            ws="none",
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        with _stopping_quietly():
            server = Server(config)
            _run(server.run, host, port)
        is_idle = bool(wait([executor.submit(bool)], timeout=1).done)
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
    if not is_idle:
        _LOGGER.error("the pipeline still annotates a batch: the server ends without it")
        sys.stdout.flush()
        os._exit(1)  # otherwise Python waits for the thread


def load_served(model: str, gpu_id: int = -1, batch_size: int = DEFAULT_BATCH) -> ServedPipeline:
    """Load a pipeline for the API. It annotates as `nlp(text)` does; see `lacks_sentences`.

    model (str): Name or folder of the pipeline.
    gpu_id (int): The GPU, or -1 for the CPU.
    batch_size (int): Maximum number of texts that go through the pipeline at once.
    RETURNS (ServedPipeline): The pipeline.
    RAISES (OSError): If there is no such pipeline.
    RAISES (ValueError): If it predicts no relations, or its folder is refused.
    """
    if gpu_id >= 0:
        require_gpu(gpu_id)
    nlp = load_pipeline(model)
    if lacks_sentences(nlp):
        warnings.warn(
            f"{model}: no component sets sentence boundaries, so the pipeline may relate entities "
            "of different sentences. Add a component that sets them and save the pipeline again, "
            "for example with nlp.add_pipe('sentencizer', first=True), or send single sentences",
            stacklevel=1,
        )
    freeze_heap()
    entities: dict[str, None] = {}
    relations: dict[str, None] = {}
    for _, component in nlp.pipeline:
        if isinstance(component, RelationPipe):
            entities.update(dict.fromkeys(component.label_scheme.entities))
            relations.update(dict.fromkeys(component.label_scheme.relations))

    def annotate(texts: Sequence[str]) -> Sequence[RowResult]:
        return annotate_texts(nlp, texts, batch_size=batch_size)

    def find_excess(text: str) -> str:
        return describe_marks(nlp, text, MAX_MARKS)

    return ServedPipeline(_describe(nlp), list(entities), list(relations), annotate, find_excess)


def _describe(nlp: Language) -> str:
    meta = nlp.meta
    return f"{meta['lang']}_{meta['name']}-{meta['version']}"


@contextmanager
def _stopping_quietly() -> Iterator[None]:
    """End without a traceback or an exit code of a signal, which uvicorn sends to itself again."""

    def ignore(number: int, frame: FrameType | None) -> None:
        """Do nothing: the server has stopped already."""

    previous = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        previous[number] = signal.signal(number, ignore)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _run(run: Callable[[], None], host: str, port: int) -> None:
    """Run a server; if it cannot start, raise an error with its address."""
    try:
        run()
    except SystemExit as err:
        if err.code:
            raise OSError(
                f"the server cannot listen at {host}, port {port}. Name another --port or --host"
            ) from err

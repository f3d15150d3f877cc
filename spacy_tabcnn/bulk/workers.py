"""Batches of rows through a pipeline, in this process or in several others."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from spacy.language import Language
from thinc.api import require_gpu

from ..pipeline.loading import load_pipeline
from ..runtime.heap import freeze_heap, frozen_heap
from ..runtime.parent import follow_parent
from .rows import Row, RowResult
from .texts import annotate_texts

ItemT = TypeVar("ItemT")


def annotate_batches(
    model: str | Path,
    batches: Iterable[list[Row]],
    *,
    text_field: str,
    n_process: int,
    gpu_id: int,
) -> Iterator[RowResult]:
    """Annotate batches of rows.

    model (str | Path): Name or folder of the pipeline.
    batches (Iterable[list[Row]]): The rows.
    text_field (str): The field that holds the text.
    n_process (int): Number of processes; 1 stands for this process.
    gpu_id (int): The GPU, or -1 for the CPU.
    YIELDS (RowResult): The result of each row, in order.
    RAISES (ChildProcessError): If a process dies.
    """
    if n_process == 1:
        annotated = _annotate_here(model, batches, text_field, gpu_id)
    else:
        annotated = _annotate_in_processes(model, batches, text_field, gpu_id, n_process)
    for rows, results in annotated:
        yield from _merge(rows, results)


def _annotate_here(
    model: str | Path, batches: Iterable[list[Row]], text_field: str, gpu_id: int
) -> Iterator[tuple[list[Row], list[RowResult]]]:
    nlp = _load(model, gpu_id)
    with frozen_heap():
        for rows in batches:
            yield rows, annotate_texts(nlp, _get_texts(rows, text_field))


def _annotate_in_processes(
    model: str | Path, batches: Iterable[list[Row]], text_field: str, gpu_id: int, n_process: int
) -> Iterator[tuple[list[Row], list[RowResult]]]:
    # nlp.pipe(n_process=...) hangs if a process dies, and sends whole documents back.
    with ProcessPoolExecutor(
        n_process, mp_context=get_context("spawn"), initializer=follow_parent
    ) as pool:

        def submit(rows: list[Row]) -> tuple[list[Row], Future[list[RowResult]]]:
            texts = _get_texts(rows, text_field)
            return rows, pool.submit(_annotate_in_worker, model, gpu_id, texts)

        try:
            for rows, future in _look_ahead(map(submit, batches), 2 * n_process):
                yield rows, future.result()
        except BrokenProcessPool as err:
            raise ChildProcessError(
                "a worker process died, perhaps of too little memory. The same command goes on "
                "where it was; it may have a smaller --batch-size or --n-process"
            ) from err


def _look_ahead(items: Iterable[ItemT], number: int) -> Iterator[ItemT]:
    """Yield items in order, each one after the next ones (as many as `number`) were taken."""
    waiting: deque[ItemT] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > number:
            yield waiting.popleft()
    yield from waiting


def _get_texts(rows: Sequence[Row], text_field: str) -> list[str]:
    texts = []
    for row in rows:
        if row.reason is None:
            texts.append(row.get_text(text_field))
    return texts


def _merge(rows: Sequence[Row], results: Iterable[RowResult]) -> Iterator[RowResult]:
    """Put the results of the readable rows between the reasons of the other rows."""
    annotated = iter(results)
    for row in rows:
        if row.reason is None:
            yield next(annotated)
        else:
            yield {"reason": row.reason}


def _load(model: str | Path, gpu_id: int) -> Language:
    if gpu_id >= 0:
        require_gpu(gpu_id)
    return load_pipeline(model)


@lru_cache(maxsize=1)
def _load_once(model: str | Path, gpu_id: int) -> Language:
    nlp = _load(model, gpu_id)
    freeze_heap()
    return nlp


def _annotate_in_worker(model: str | Path, gpu_id: int, texts: list[str]) -> list[RowResult]:
    return annotate_texts(_load_once(model, gpu_id), texts)

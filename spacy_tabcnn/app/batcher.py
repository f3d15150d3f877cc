"""Requests that arrive together, annotated as one batch.

A pipeline annotates one batch at a time, in a thread of its own. Requests that arrive meanwhile
wait, and form the next batch. After a batch of several requests, the next one waits a moment for as
many: their clients tend to ask again, and the first one would get a batch of its own. So a single
client does not wait for others, and many clients get the throughput of batches.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from ..bulk.rows import RowResult

DEFAULT_BATCH = 32
DEFAULT_WAITING = 1024
# Seconds to wait for as many requests as the last batch had.
_LINGER = 0.01


class BusyError(Exception):
    """Too many texts are waiting."""


class ClosedError(Exception):
    """The server is shutting down."""


class PanicError(Exception):
    """The pipeline raised an error that is no Exception, such as a panic of Rust."""


class _Job(NamedTuple):
    """The texts of a request, and the place for their annotations."""

    texts: Sequence[str]
    results: "asyncio.Future[list[RowResult]]"


class Batcher:
    """Annotates the texts of requests in batches.

    annotate (Callable): Annotates texts, in the thread of `executor`.
    executor (ThreadPoolExecutor): One thread, which loaded the pipeline.
    batch_size (int): Number of texts after which a batch takes no further request.
    max_waiting (int): Maximum number of texts that wait.
    """

    def __init__(
        self,
        annotate: Callable[[Sequence[str]], Sequence[RowResult]],
        executor: ThreadPoolExecutor,
        *,
        batch_size: int = DEFAULT_BATCH,
        max_waiting: int = DEFAULT_WAITING,
    ):
        self.annotate = annotate
        self.executor = executor
        self.batch_size = batch_size
        self.max_waiting = max_waiting
        self.n_waiting = 0
        self._jobs: deque[_Job] = deque()
        self._wake = asyncio.Event()
        self._is_closing = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to take batches, in the running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    @property
    def is_running(self) -> bool:
        """Return whether requests are answered.

        RETURNS (bool): True from `start` to the end of `close`, or to the end of the process.
        """
        return self._task is not None and not self._task.done()

    async def close(self, max_seconds: float | None = None) -> None:
        """Refuse new requests, and wait for the annotation of the waiting ones.

        max_seconds (float | None): Time after which to wait no longer; None for no limit.
        """
        self._is_closing = True
        self._wake.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=max_seconds)

    async def submit(self, texts: Sequence[str]) -> list[RowResult]:
        """Annotate the texts of a request, together with other requests.

        If the task that awaits the annotation is cancelled, texts that still wait are forgotten.

        texts (Sequence[str]): The texts.
        RETURNS (list[RowResult]): The annotation of each, or the reason why it failed.
        RAISES (BusyError): If too many texts are waiting.
        RAISES (ClosedError): If the server is shutting down.
        RAISES (PanicError): If the pipeline raises an error that is no Exception.
        """
        if self._is_closing or not self.is_running:
            raise ClosedError
        if self._jobs and self.n_waiting + len(texts) > self.max_waiting:
            raise BusyError
        job = _Job(texts, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self.n_waiting += len(texts)
        self._wake.set()
        try:
            return await job.results
        except asyncio.CancelledError:
            self._give_up(job)
            raise

    def _give_up(self, job: _Job) -> None:
        """Forget a request for which nobody waits any more, unless its batch was taken."""
        if job in self._jobs:
            self._jobs.remove(job)
            self.n_waiting -= len(job.texts)

    async def _run(self) -> None:
        n_jobs = 0
        while True:
            if self._jobs:
                await self._wait_for(n_jobs)
                jobs = self._take()
                n_jobs = len(jobs)
                await self._annotate(jobs)
            elif self._is_closing:
                return
            else:
                self._wake.clear()
                await self._wake.wait()

    async def _wait_for(self, n_jobs: int) -> None:
        """Wait a moment until a number of requests waits."""
        loop = asyncio.get_running_loop()
        end = loop.time() + _LINGER
        while len(self._jobs) < n_jobs and not self._is_closing and loop.time() < end:
            self._wake.clear()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wake.wait(), end - loop.time())

    def _take(self) -> list[_Job]:
        """Take the requests of the next batch, without requests that were given up."""
        jobs: list[_Job] = []
        n_texts = 0
        while self._jobs and n_texts < self.batch_size:
            job = self._jobs.popleft()
            self.n_waiting -= len(job.texts)
            if not job.results.done():
                jobs.append(job)
                n_texts += len(job.texts)
        return jobs

    async def _annotate(self, jobs: Sequence[_Job]) -> None:
        texts: list[str] = []
        for job in jobs:
            texts += job.texts
        if not texts:  # all requests were given up
            return
        loop = asyncio.get_running_loop()
        try:
            results = await loop.run_in_executor(self.executor, self._call, texts)
            if len(results) != len(texts):
                raise RuntimeError(f"{len(results)} results for {len(texts)} texts")
        except Exception as err:  # every request gets an answer
            for job in jobs:
                if not job.results.done():
                    job.results.set_exception(err)
            return
        remaining = iter(results)
        for job in jobs:
            part = list(islice(remaining, len(job.texts)))
            if not job.results.done():
                job.results.set_result(part)

    def _call(self, texts: Sequence[str]) -> Sequence[RowResult]:
        """Annotate texts, in the thread of the pipeline.

        An error that is no Exception would end the task that takes the batches.
        """
        try:
            return self.annotate(texts)
        except (Exception, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as err:
            raise PanicError(f"{type(err).__name__}: {err}") from err

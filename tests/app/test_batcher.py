"""The batches of requests."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from spacy_tabcnn.app.batcher import Batcher, ClosedError, PanicError


def run_batcher(use, annotate, **options):
    """Run a coroutine that uses a batcher."""

    async def run():
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(annotate, executor, **options)
            batcher.start()
            try:
                return await use(batcher)
            finally:
                await batcher.close()

    return asyncio.run(run())


def echo(texts):
    return [{"reason": text} for text in texts]


def test_clients_that_ask_again_share_batches():
    batches = []

    def annotate(texts):
        batches.append(len(texts))
        return echo(texts)

    async def ask_repeatedly(batcher, name):
        answers = [await batcher.submit([f"{name}{number}"]) for number in range(20)]
        return [answer[0]["reason"] for answer in answers]

    async def use(batcher):
        return await asyncio.gather(*(ask_repeatedly(batcher, name) for name in "abcd"))

    answers = run_batcher(use, annotate)
    assert answers == [[f"{name}{number}" for number in range(20)] for name in "abcd"]
    assert sum(batches) == 80 and len(batches) < 40


def test_a_batch_ends_at_its_size():
    batches = []

    def annotate(texts):
        batches.append(len(texts))
        return echo(texts)

    async def use(batcher):
        await asyncio.gather(*(batcher.submit(["a", "b"]) for _ in range(6)))

    run_batcher(use, annotate, batch_size=4)
    assert batches == [4, 4, 4]


def test_a_request_that_was_given_up_takes_no_time():
    seen = []

    def annotate(texts):
        seen.extend(texts)
        return echo(texts)

    async def use(batcher):
        task = asyncio.ensure_future(batcher.submit(["a"]))
        await asyncio.sleep(0)
        task.cancel()
        return await batcher.submit(["b"])

    assert run_batcher(use, annotate) == [{"reason": "b"}]
    assert seen == ["b"]


def test_a_wrong_number_of_results_is_an_error():
    async def use(batcher):
        await batcher.submit(["a"])

    with pytest.raises(RuntimeError, match="0 results for 1 texts"):
        run_batcher(use, lambda texts: [])


def test_a_closed_batcher_takes_no_request():
    async def use(batcher):
        await batcher.close()
        await batcher.submit(["a"])

    with pytest.raises(ClosedError):
        run_batcher(use, echo)


def test_a_batch_is_waited_for_a_limited_time():
    go_on = Event()

    async def use(batcher):
        task = asyncio.ensure_future(batcher.submit(["a"]))
        await asyncio.sleep(0.1)
        await batcher.close(0.1)
        is_waiting = not task.done()
        go_on.set()
        return is_waiting, await task

    def annotate(texts):
        go_on.wait(10)
        return echo(texts)

    assert run_batcher(use, annotate) == (True, [{"reason": "a"}])


class Panic(BaseException):
    """A stand-in for a panic of Rust, which is no Exception."""


def test_after_a_panic_the_next_requests_are_answered():
    def annotate(texts):
        if "boom" in texts:
            raise Panic("index out of bounds")
        return echo(texts)

    async def use(batcher):
        with pytest.raises(PanicError, match="Panic: index out of bounds"):
            await batcher.submit(["boom"])
        return await asyncio.wait_for(batcher.submit(["a"]), 20)

    assert run_batcher(use, annotate) == [{"reason": "a"}]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_the_end_of_the_process_ends_the_batcher(error):
    def annotate(texts):
        raise error

    async def use(batcher):
        await batcher.submit(["a"])

    with pytest.raises(error):
        run_batcher(use, annotate)


def test_a_batcher_that_has_ended_is_not_running_and_takes_no_request():
    async def use(batcher):
        assert batcher.is_running
        await batcher.close()
        assert not batcher.is_running
        batcher._is_closing = False
        await batcher.submit(["a"])

    with pytest.raises(ClosedError):
        run_batcher(use, echo)

"""Work that ends if the client that waits for it has gone."""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from starlette.requests import Request

ResultT = TypeVar("ResultT")


class GoneError(Exception):
    """The client has closed its connection."""


async def finish_unless_gone(work: Coroutine[Any, Any, ResultT], request: "Request") -> ResultT:
    """Await the work for a request, and cancel it if the client closes its connection.

    work (Coroutine[Any, Any, ResultT]): The work.
    request (Request): The request, whose body was read.
    RETURNS (ResultT): The result of the work.
    RAISES (GoneError): If the client has gone.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_wait_until_gone(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise GoneError
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _wait_until_gone(request: "Request") -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass

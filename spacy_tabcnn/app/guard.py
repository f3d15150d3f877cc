"""The checks of a request before its body is decoded: the token, and the size of the body."""

import base64
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from .api_errors import make_error

# The types of ASGI, whose messages are dictionaries of anything.
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Asgi: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

# Answers without a token, so that a supervisor of containers can ask.
_OPEN_PATHS = ("/health",)


def clean_token(token: str | None) -> str | None:
    """Remove white space around a token, such as the line break of a file.

    token (str | None): The token; None for none.
    RETURNS (str | None): The token as requests send it.
    RAISES (ValueError): If the token is empty.
    """
    if token is None:
        return None
    token = token.strip()
    if not token:
        raise ValueError(
            "the token is empty, so everyone could use the API. Set a long random one in the "
            "variable SPACY_TABCNN_TOKEN, or unset the variable and leave out --token"
        )
    return token


class _TooLargeError(Exception):
    """The body of a request is too large."""


class Guard:
    """Lets through requests that have the token and a body of limited size.

    app (Asgi): The application.
    token (str | None): The token that requests need; None for none.
    max_bytes (int): Maximum size of the body of a request.
    """

    def __init__(self, app: Asgi, *, token: str | None, max_bytes: int):
        self.app = app
        self.token = token
        self.max_bytes = max_bytes

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, as an application of ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if scope["path"] not in _OPEN_PATHS and not self._has_token(headers):
            response = make_error(
                401,
                "the token is missing or wrong. Send the header 'Authorization: Bearer TOKEN'",
                {"WWW-Authenticate": "Bearer"},
            )
            await response(scope, receive, send)
            return
        try:
            body = await self._read(headers, receive)
        except _TooLargeError:
            message = f"the body has more than {self.max_bytes:,} bytes. Send fewer texts at once"
            # The rest of the body is not read.
            response = make_error(413, message, {"Connection": "close"})
            await response(scope, receive, send)
            return
        if body is not None:
            await self.app(scope, _replay(body, receive), send)

    def _has_token(self, headers: dict[bytes, bytes]) -> bool:
        if self.token is None:
            return True
        given = headers.get(b"authorization", b"")
        scheme, _, value = given.partition(b" ")
        value = value.strip()
        if scheme.lower() == b"basic":
            # Label Studio sends a name and a password.
            value = _decode_password(value)
        elif scheme.lower() != b"bearer":
            return False
        return hmac.compare_digest(value, self.token.encode("utf-8"))

    async def _read(self, headers: dict[bytes, bytes], receive: Receive) -> bytes | None:
        """Read the body of a request; return None if the client has gone."""
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length[:20]) > self.max_bytes:
            raise _TooLargeError
        parts: list[bytes] = []
        n_bytes = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            parts.append(message.get("body", b""))
            n_bytes += len(parts[-1])
            if n_bytes > self.max_bytes:
                raise _TooLargeError
            more = message.get("more_body", False)
        return b"".join(parts)


def _decode_password(value: bytes) -> bytes:
    """Return the password of a header for Basic authentication; nothing of a malformed one."""
    try:
        decoded = base64.b64decode(value, validate=True)
    except ValueError:
        return b""
    return decoded.partition(b":")[2]


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a function that gives a body that was read, and then what follows it."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        if messages:
            return messages.pop()
        return await receive()

    return receive_again

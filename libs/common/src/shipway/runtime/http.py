"""Plain ASGI on the hot path: reading a bounded body, answering, and refusing by RFC 9457 problem details."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Any, Any, Any], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
T = TypeVar("T")


class ClientGone(Exception):  # noqa: N818
    """The client closed the connection: nobody waits for an answer."""


class Problem(Exception):  # noqa: N818
    """A refusal that becomes a problem document. ``errors`` are wrong fields as (field, problem).

    ``close`` ends the connection with it.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[tuple[str, str]] = (),
        code: str | None = None,
        retry_after_s: int | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.code = code
        self.retry_after_s = retry_after_s
        self.close = close

    def body(self, path: str = "") -> bytes:
        """The problem document."""
        return msgspec.json.encode(self.document(path))

    def document(self, path: str = "") -> dict[str, Any]:
        """The problem document as JSON-like data; on a path of the inference protocol with its ``error`` as well."""
        document: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.code:
            document["code"] = self.code
        if self.errors:
            document["errors"] = [{"field": field, "problem": problem} for field, problem in self.errors]
        if path == "/v2" or path.startswith("/v2/"):
            document["error"] = self.detail
        return document

    def headers(self) -> Headers:
        """The headers that go with it."""
        headers = [(b"content-type", b"application/problem+json")]
        if self.close:
            headers.append((b"connection", b"close"))
        if self.retry_after_s is not None:
            headers.append((b"retry-after", str(self.retry_after_s).encode()))
        return headers


async def read_body(receive: Receive, headers: dict[bytes, bytes], max_bytes: int) -> bytes:
    """The request's body.

    Raises:
        Problem: 413 where it is larger than ``max_bytes``. ClientGone: it will not come any more.
    """
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and int(declared[:18]) > max_bytes:
        raise Problem(413, f"the body has {declared[:18].decode()} bytes; the limit is {max_bytes}")
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > max_bytes:
            # Its end is not known: without the close it could go on for ever.
            raise Problem(413, f"the body is larger than {max_bytes} bytes", close=True)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def while_wanted(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """What the work on a request gives, its body being read; the work ends where the client goes.

    Raises:
        ClientGone: nobody waits for it any more.
    """
    working, watching = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return working.result()
    finally:
        watching.cancel()
        working.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def respond(send: Send, status: int, body: bytes, headers: Headers) -> None:
    """Sends a whole answer."""
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def respond_problem(send: Send, problem: Problem, extra: Headers | None = None, *, path: str = "") -> None:
    """Sends the refusal of a request for ``path``."""
    await respond(send, problem.status, problem.body(path), [*problem.headers(), *(extra or [])])

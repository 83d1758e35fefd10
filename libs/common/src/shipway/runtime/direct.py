"""A door beside ASGI for the requests that are many and small: a method call in, one write out, no task.

It is uvicorn's own HTTP protocol with one decision before it: a request that the service's ``Direct`` takes becomes an
``Exchange``, which stands where uvicorn's RequestResponseCycle would; all others, pipelined ones among them, go on to
ASGI. So parsing, keep-alive, flow control and shutdown are uvicorn's in both cases. What may come through here must
be answered the same by the ASGI app.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from shipway.runtime.http import Headers, Problem
from shipway.runtime.patience import PatientProtocol
from shipway.runtime.settings import HttpSettings

_STATUS = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}


@dataclass(frozen=True)
class Direct:
    """What a service answers directly: POST requests of paths with ``prefix``, with a body of at most ``max_bytes``.

    ``begin`` is called with the whole request, and answers it then or later; it never raises.
    """

    prefix: bytes
    max_bytes: int
    begin: Callable[["Exchange"], None]


class Exchange:
    """A request, whole, and the way of its answer.

    ``named`` are the headers by lower-case name, of several of a name the last. ``on_gone`` is called where the client
    goes before it is answered; ``hardening`` are header lines of every answer.
    """

    __slots__ = (
        "_protocol",
        "body",
        "disconnected",
        "hardening",
        "headers",
        "keep_alive",
        "more_body",
        "named",
        "on_gone",
        "path",
        "response_complete",
    )

    def __init__(self, protocol: "DirectProtocol", named: Mapping[bytes, bytes], keep_alive: bool) -> None:
        self.path = protocol.url.decode("ascii")
        self.headers: Headers = protocol.headers
        self.named = named
        self.body = b""
        self.on_gone: Callable[[], object] = _nothing
        self.hardening = b""
        self._protocol = protocol
        # What uvicorn's protocol asks of a cycle:
        self.keep_alive = keep_alive
        self.response_complete = False
        self.disconnected = False
        self.more_body = True

    @property
    def message_event(self) -> "Exchange":
        """What uvicorn's protocol sets when there is news; no attribute, which would be a cycle to collect."""
        return self

    def set(self) -> None:
        """There is news: the end of the connection, answered or not."""
        if self.disconnected:
            self.on_gone()

    def answer(self, status: int, head: bytes, body: bytes) -> None:
        """Answers; ``head`` is header lines, each with its end. Does nothing where nobody waits any more."""
        protocol, transport = self._protocol, self._protocol.transport
        if self.disconnected or self.response_complete or transport.is_closing():
            return
        self.response_complete = True
        self.on_gone = _nothing
        if not self.keep_alive:
            head += b"connection: close\r\n"
        length = b"content-length: %d\r\n\r\n" % len(body)
        transport.write(b"".join((_STATUS[status], protocol.usual_lines(), self.hardening, head, length, body)))
        if not self.keep_alive:
            transport.close()
        protocol.on_response_complete()

    def refuse(self, problem: Problem, more: Headers) -> None:
        """Answers with a problem document, and more headers."""
        self.answer(problem.status, header_lines([*problem.headers(), *more]), problem.body())


class DirectProtocol(PatientProtocol):
    """uvicorn's protocol, asking ``direct`` first. Make a class of it with ``serving``."""

    direct: Callable[[], Direct | None]
    _usual: Headers | None = None
    _usual_lines = b""
    _taken: Exchange | None = None
    _begin: Callable[[Exchange], None]

    def on_message_begin(self) -> None:
        """Leaves the ASGI scope, which uvicorn makes here, to those who need one."""
        self.url, self.headers, self.expect_100_continue, self._taken = b"", [], False, None
        self.wait_for_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keeps a header; what it may ask for is looked at when all are there."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Takes the request where it is one of those, and is the only one on the connection."""
        direct = self.direct()
        if direct is not None and self.url.startswith(direct.prefix):
            named, keep_alive = dict(self.headers), self.parser.should_keep_alive()
            if self._plain(named, keep_alive, direct.max_bytes):
                self.wait_for_body()
                cycle: Any = Exchange(self, named, keep_alive)
                self.cycle = self._taken = cycle
                self._begin = direct.begin
                return
        self._make_scope()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body, of which the parser lets no more through than was declared."""
        if self._taken is None:
            super().on_body(body)
        else:
            self._taken.body += body

    def on_message_complete(self) -> None:
        """The request is there, and begins."""
        taken = self._taken
        if taken is None:
            super().on_message_complete()
            return
        self._taken, self._part = None, ""
        taken.more_body = False
        self._begin(taken)

    def usual_lines(self) -> bytes:
        """The headers that every answer has, as lines; uvicorn makes them once a second."""
        usual = self.server_state.default_headers
        if usual is not DirectProtocol._usual:
            DirectProtocol._usual, DirectProtocol._usual_lines = usual, header_lines(usual)
        return DirectProtocol._usual_lines

    def _make_scope(self) -> None:
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        self.headers += headers  # the scope has this list
        expects = [value.lower() for name, value in headers if name == b"expect"]
        self.expect_100_continue = b"100-continue" in expects
        self.wait_for_body()

    def _plain(self, named: Mapping[bytes, bytes], keep_alive: bool, max_bytes: int) -> bool:
        """Whether nothing about the request is unusual: one at a time, of a known and small length."""
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy or b"expect" in named or b"?" in self.url or b"%" in self.url:
            return False
        parser = self.parser
        if parser.get_method() != b"POST" or parser.should_upgrade():
            return False
        # Only HTTP/1.1 is kept alive unasked. The parser puts the version into words: half a microsecond.
        if not (keep_alive and b"connection" not in named) and parser.get_http_version() != "1.1":
            return False
        length = named.get(b"content-length", b"")
        return length.isdigit() and len(length) < 9 and int(length) <= max_bytes


def serving(direct: Callable[[], Direct | None], http: HttpSettings | None = None) -> type[DirectProtocol]:
    """The protocol class for uvicorn's ``http``."""
    return type("Serving", (DirectProtocol,), {"direct": staticmethod(direct), "http": http or HttpSettings()})


def header_lines(headers: Headers) -> bytes:
    """Headers as lines of an answer."""
    return b"".join(b"%b: %b\r\n" % header for header in headers)


def _nothing() -> None:
    pass

"""A door beside ASGI for the requests that are many and small: a method call in, one write out, no task.

It is uvicorn's own HTTP protocol with one decision before it: a request that the service's ``Direct`` takes becomes an
``Exchange``, which stands where uvicorn's RequestResponseCycle would; all others, pipelined ones among them, go on to
ASGI. So parsing, keep-alive, flow control and shutdown are uvicorn's in both cases. What may come through here must
be answered the same by the ASGI app.
"""

from collections.abc import Callable
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

    ``on_gone`` is called where the client goes before it is answered; ``hardening`` are header lines of every answer.
    """

    def __init__(self, protocol: "DirectProtocol", begin: Callable[["Exchange"], None], keep_alive: bool) -> None:
        self.path = protocol.url.decode("ascii")
        self.headers: Headers = protocol.headers
        self.body = b""
        self.on_gone: Callable[[], object] = _nothing
        self.hardening = b""
        self._protocol = protocol
        self._begin = begin
        self._begun = False
        # What uvicorn's protocol asks of a cycle:
        self.keep_alive = keep_alive
        self.response_complete = False
        self.disconnected = False
        self.more_body = True

    @property
    def message_event(self) -> "Exchange":
        """What uvicorn's protocol sets when there is news; no attribute, which would be a cycle to collect."""
        return self

    def header(self, name: bytes) -> bytes | None:
        """The first header of a lower-case name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def set(self) -> None:
        """There is news: a piece of the body, its end, or the end of the connection, answered or not."""
        if self.disconnected:
            self.on_gone()
        elif not self.more_body and not self._begun:
            self._begun = True
            self._begin(self)

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

    def on_message_begin(self) -> None:
        """Leaves the ASGI scope, which uvicorn makes here, to those who need one."""
        self.url, self.headers, self.expect_100_continue = b"", [], False
        self.wait_for_head()

    def on_headers_complete(self) -> None:
        """Takes the request where it is one of those, and is the only one on the connection."""
        direct = self.direct()
        if direct is None or not self.url.startswith(direct.prefix) or not self._plain(direct.max_bytes):
            self._make_scope()
            super().on_headers_complete()
            return
        self.wait_for_body()
        cycle: Any = Exchange(self, direct.begin, self.parser.should_keep_alive())
        self.cycle = cycle

    def usual_lines(self) -> bytes:
        """The headers that every answer has, as lines; uvicorn makes them once a second."""
        usual = self.server_state.default_headers
        if usual is not DirectProtocol._usual:
            DirectProtocol._usual, DirectProtocol._usual_lines = usual, header_lines(usual)
        return DirectProtocol._usual_lines

    def _make_scope(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers  # the scope has this list
        self.wait_for_body()

    def _plain(self, max_bytes: int) -> bool:
        """Whether nothing about the request is unusual: one at a time, of a known and small length."""
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy or self.expect_100_continue or b"?" in self.url or b"%" in self.url:
            return False
        if (
            self.parser.get_method() != b"POST"
            or self.parser.get_http_version() != "1.1"
            or self.parser.should_upgrade()
        ):
            return False
        for name, value in self.headers:
            if name == b"content-length":
                return value.isdigit() and len(value) < 9 and int(value) <= max_bytes
        return False


def serving(direct: Callable[[], Direct | None], http: HttpSettings | None = None) -> type[DirectProtocol]:
    """The protocol class for uvicorn's ``http``."""
    return type("Serving", (DirectProtocol,), {"direct": staticmethod(direct), "http": http or HttpSettings()})


def header_lines(headers: Headers) -> bytes:
    """Headers as lines of an answer."""
    return b"".join(b"%b: %b\r\n" % header for header in headers)


def _nothing() -> None:
    pass

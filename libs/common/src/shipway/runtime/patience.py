"""How long a server waits for a request to come in: what comes too slowly, or without end, is not waited for.

Otherwise clients that send a byte now and then (slowloris) would hold every connection that the process may have. The
bounds are looked at twice a second, and count from the first look at which a part is waited for: a request costs
neither a reading of the clock nor a timer. That of idle connections is here too, in the place of uvicorn's, which is
set and cancelled for each request.
"""

from typing import Any

from prometheus_client import Counter
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shipway.runtime.quiet import QuietServer
from shipway.runtime.settings import HttpSettings

OVERDUE = Counter("shipway_http_overdue_total", "Connections ended as a request did not come in, by part.", ["part"])
# Longer than clients and load balancers keep an idle connection (60 s at most, as a rule): whoever closes first while
# the other one sends makes a request fail.
KEEP_ALIVE_S = 75
HEAD_BYTES = 65_536
_FIRST, _HEAD, _BODY, _NEXT = "first byte", "head", "body", "next request"
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol with bounds: how soon first byte, head and body must come, and how large a head may be."""

    http = HttpSettings()

    def connection_made(self, transport: Any) -> None:
        """Waits for a first byte as long as between two requests."""
        super().connection_made(transport)
        self._part, self._head_bytes = _FIRST, 0
        self._since: float | None = None

    def on_message_begin(self) -> None:
        """Waits for the head."""
        super().on_message_begin()
        self.wait_for_head()

    def wait_for_head(self) -> None:
        """A request has begun."""
        self._part, self._since, self._head_bytes = _HEAD, None, 0

    def on_headers_complete(self) -> None:
        """Waits for the body."""
        self.wait_for_body()
        super().on_headers_complete()

    def wait_for_body(self) -> None:
        """The head is there."""
        self._part, self._since = _BODY, None

    def on_message_complete(self) -> None:
        """Nothing more is to come, but the next request where this one was answered before its end."""
        self._part = ""
        super().on_message_complete()
        if self.cycle is None or self.cycle.response_complete:
            self._wait_for_next()

    def data_received(self, data: bytes) -> None:
        """Parses what came, and counts it where it is a part of a head; the parser keeps that, whatever its size."""
        super().data_received(data)
        if self._part is _HEAD:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
                OVERDUE.labels("large head").inc()
                self.transport.write(_TOO_LARGE)
                self.transport.close()

    def on_response_complete(self) -> None:
        """Goes on with what is pipelined, or waits for the next request."""
        if self.pipeline:
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()
            self._wait_for_next()

    def _wait_for_next(self) -> None:
        if not self._part:  # else a request is coming in
            self._part, self._since = _NEXT, None

    def look(self, now: float) -> None:
        """Ends the connection where what is waited for should be there by ``now``."""
        part = self._part
        if not part:
            return
        if self._since is None:
            self._since = now
            return
        bounds = {_HEAD: self.http.head_timeout_s, _BODY: self.http.body_timeout_s}
        if now < self._since + bounds.get(part, KEEP_ALIVE_S):
            return
        if part is _NEXT:
            self.transport.close()
        else:
            OVERDUE.labels(part).inc()
            self.transport.abort()


class PatientServer(QuietServer):
    """A server that looks after its connections."""

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        if counter % 5 == 0:
            for connection in tuple(self.server_state.connections):
                if isinstance(connection, PatientProtocol):
                    connection.look(connection.loop.time())
        return await super().on_tick(counter)

"""A collector of traces for tests: takes OTLP over HTTP as OpenTelemetry defines it, and keeps the spans."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True)
class Got:
    """A span as it came; ids are hexadecimal, ``parent`` is empty where there is none."""

    name: str
    service: str
    trace_id: str
    span_id: str
    parent: str
    kind: int
    begun_ns: int
    ended_ns: int
    error: str
    attributes: dict[str, Any]
    links: tuple[str, ...]


class Collector(ThreadingHTTPServer):
    """Listens on a free port of the loopback address."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[Got] = []

    @property
    def endpoint(self) -> str:
        """What SHIPWAY__TRACING__ENDPOINT is to be."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def of_trace(self, trace_id: str) -> list[Got]:
        """The spans of a trace, by their begin."""
        return sorted((s for s in list(self.spans) if s.trace_id == trace_id), key=lambda s: s.begun_ns)


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that runs within."""
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever, daemon=True)
        thread.start()
        yield collector
        collector.shutdown()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        request = ExportTraceServiceRequest.FromString(body)
        assert self.path == "/v1/traces", self.path
        for group in request.resource_spans:
            about = {a.key: a.value.string_value for a in group.resource.attributes}
            for scope in group.scope_spans:
                self.server.spans += [_got(span, about["service.name"]) for span in scope.spans]
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


def _got(span: Any, service: str) -> Got:
    return Got(
        name=span.name,
        service=service,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        kind=span.kind,
        begun_ns=span.start_time_unix_nano,
        ended_ns=span.end_time_unix_nano,
        error=span.status.message,
        attributes={a.key: a.value.string_value or a.value.int_value for a in span.attributes},
        links=tuple(link.trace_id.hex() for link in span.links),
    )

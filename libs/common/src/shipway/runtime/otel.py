"""Spans to a collector of OpenTelemetry, by OTLP over HTTP, where a setting names one.

The ids of spans are those that events and requests carry already (runtime.trace), so the SDK's tracer, which makes its
own, is left out: finished spans go to its batches and its exporter. Nothing of it is imported without the setting.
"""

import atexit
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from shipway.contract.errors import InvalidField, Permanent
from shipway.contract.versions import RELEASE
from shipway.runtime import trace
from shipway.runtime.settings import TracingSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

STOP_WITHIN_S = 3.0


@contextmanager
def exporting(settings: TracingSettings, service: str) -> Iterator[None]:
    """Exports the spans of what runs within; at its end what is left is sent, within STOP_WITHIN_S.

    A collector that is away costs spans and nothing else: they wait in a bounded queue, by a thread of their own.
    """
    if not settings.endpoint:
        yield
        return
    try:
        batches = _started(settings.endpoint, service)
    except Permanent as err:
        sys.stderr.write(f"shipway: wrong setting: {err}\n")
        raise SystemExit(2) from None
    try:
        yield
    finally:
        _stop(batches)


def export_until_exit(settings: TracingSettings, service: str) -> None:
    """Exports the spans of this process from now until it ends, unless they are exported already.

    Raises:
        Permanent: OpenTelemetry is not installed.
    """
    if settings.endpoint and not trace.exports():
        atexit.register(_stop, _started(settings.endpoint, service))


def _started(endpoint: str, service: str) -> "BatchSpanProcessor":
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        wanted = "a collector is set, and OpenTelemetry is not installed: pip install 'shipway-common[otel]'"
        raise InvalidField("TRACING__ENDPOINT", wanted) from None
    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=STOP_WITHIN_S)
    batches = BatchSpanProcessor(exporter, schedule_delay_millis=1000)
    made = _resource(service)
    trace.export_to(lambda span: batches.on_end(_readable(span, made)))
    return batches


def _stop(batches: "BatchSpanProcessor") -> None:
    trace.export_to(None)
    closing = threading.Thread(target=batches.shutdown, daemon=True)
    closing.start()
    closing.join(STOP_WITHIN_S)


def _resource(service: str) -> Any:
    from opentelemetry.sdk.resources import Resource

    instance = f"{socket.gethostname()}/{os.getpid()}"
    about = {"service.namespace": "shipway", "service.name": service, "service.version": RELEASE}
    return Resource(about | {"service.instance.id": instance})


def _readable(span: trace.Span, resource: Any) -> "ReadableSpan":
    """The span as the SDK has it."""
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import Link, SpanKind, Status, StatusCode

    return ReadableSpan(
        span.name,
        context=_context(span.traceparent),
        parent=None if span.parent is None else _context(span.parent),
        resource=resource,
        attributes=dict(span.attributes),
        links=[Link(_context(other)) for other in span.links],
        kind=SpanKind[span.kind.upper()],
        status=Status(StatusCode.ERROR, span.error) if span.error else Status(),
        start_time=span.begun_ns,
        end_time=span.ended_ns,
        instrumentation_scope=InstrumentationScope("shipway", RELEASE),
    )


def _context(traceparent: str) -> Any:
    from opentelemetry.trace import SpanContext, TraceFlags

    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=TraceFlags(int(flags, 16)))

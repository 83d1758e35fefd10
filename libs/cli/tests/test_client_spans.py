"""What a client asks for is one trace from its first word on, and a collector is told of it."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from otlp import collecting

from shipway.client.asking import asked_for
from shipway.client.follow import Followed
from shipway.client.journey import Journey
from shipway.contract import events as e
from shipway.contract.envelope import Envelope
from shipway.runtime import trace
from shipway.runtime.trace import Span

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ACCEPTED = e.TrainingAccepted(model="m", request_id="r")
FAILED = e.TrainingFailed(model="m", request_id="r", stage="train", reason="too few rows", attempts=1)


@pytest.fixture
def told() -> Any:
    spans: list[Span] = []
    trace.export_to(spans.append)
    yield spans
    trace.export_to(None)


async def events(asked: asyncio.Event, *payloads: e.Payload) -> AsyncIterator[Followed]:
    await asked.wait()
    for payload in payloads:
        yield Followed("t", 0, 0, Envelope("i", "s", NOW, payload), None)


async def journey(*payloads: e.Payload) -> str:
    """Follows a request to its end; gives the traceparent that its event had."""
    asked, sent = asyncio.Event(), []

    async def send() -> None:
        sent.append(trace.sent("TrainingRequested"))
        asked.set()

    start = Journey(request_id="r", model="m")
    async for _ in asked_for(events(asked, *payloads), start, send, 10):
        pass
    return sent[0]


async def test_the_event_hangs_from_the_span_of_the_request(told: list[Span]) -> None:
    event = await journey(ACCEPTED, FAILED)
    sent, root = told
    assert (sent.name, root.name) == ("send TrainingRequested", "request")
    assert (sent.traceparent, sent.parent, root.parent) == (event, root.traceparent, None)
    assert root.attributes == {"model": "m", "request_id": "r"}
    assert root.error == "too few rows"
    assert root.begun_ns <= sent.begun_ns <= root.ended_ns


def test_what_a_process_asked_for_is_sent_before_it_ends() -> None:
    code = """
from shipway.runtime import trace
from shipway.runtime.otel import export_until_exit
from shipway.client import Addresses
export_until_exit(Addresses().tracing, "client")
export_until_exit(Addresses().tracing, "client")
with trace.within(None, "request"):
    pass
"""
    with collecting() as collector:
        environment = {"SHIPWAY__TRACING__ENDPOINT": collector.endpoint}
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert [(span.name, span.service) for span in collector.spans] == [("request", "client")]

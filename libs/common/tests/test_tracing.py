"""Spans reach a collector as OpenTelemetry has them; without one nothing of it is there."""

import socket
import subprocess
import sys
import time

import pytest
from otlp import collecting

from shipway.runtime import trace
from shipway.runtime.otel import STOP_WITHIN_S, exporting
from shipway.runtime.settings import ServiceSettings, TracingSettings

SERVER, PRODUCER, CONSUMER, ERROR = 2, 4, 5, "ValueError: wrong"
REMOTE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_spans_come_with_their_parents_times_and_ends() -> None:
    with collecting() as collector, exporting(TracingSettings(endpoint=collector.endpoint), "trainer"):
        with (
            trace.within(REMOTE, "process shipway.X.v1", "consumer", topic="t"),
            trace.within(trace.current(), "stage"),
        ):
            event = trace.sent("TrainingCompleted")
        with pytest.raises(ValueError, match="wrong"), trace.within(REMOTE, "failing", attempt=2):
            raise ValueError("wrong")
        with trace.within(REMOTE):
            trace.sent("of an unnamed span")
    named = {span.name: span for span in collector.of_trace(REMOTE[3:35])}
    process, stage, send, failing = (
        named[name] for name in ("process shipway.X.v1", "stage", "send TrainingCompleted", "failing")
    )
    assert set(named) == {process.name, stage.name, send.name, failing.name, "send of an unnamed span"}
    assert [process.parent, failing.parent] == [REMOTE[36:52]] * 2
    assert (stage.parent, send.parent) == (process.span_id, stage.span_id)
    assert event == f"00-{REMOTE[3:35]}-{send.span_id}-01", "consumers of the event go on from there"
    assert (process.kind, send.kind, process.attributes, failing.attributes) == (
        *(CONSUMER, PRODUCER),
        *({"topic": "t"}, {"attempt": 2}),
    )
    assert (failing.error, process.error) == (ERROR, "")
    assert process.begun_ns <= stage.begun_ns <= send.begun_ns <= stage.ended_ns <= process.ended_ns
    assert {s.service for s in collector.spans} == {"trainer"}


def test_what_nobody_samples_and_what_starts_by_nothing_is_not_told() -> None:
    with collecting() as collector, exporting(TracingSettings(endpoint=collector.endpoint), "monitor"):
        with trace.within(f"{REMOTE[:-2]}00", "unwanted"):
            trace.sent("Unwanted")
        alone = trace.sent("Feedback")
        with trace.within(alone, "process Feedback"):
            pass
        with trace.within(None, "a root"):
            pass
    (root,) = collector.spans
    assert (root.name, root.parent) == ("a root", "")


def test_a_collector_that_is_away_costs_nothing_but_spans() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()  # takes the connection, and never answers
        begun = time.monotonic()
        with exporting(TracingSettings(endpoint=f"http://127.0.0.1:{taken.getsockname()[1]}"), "gateway"):
            for _ in range(5000):  # more than its queue takes
                with trace.within(None, "lost"):
                    pass
        assert time.monotonic() - begun < STOP_WITHIN_S + 5


def test_without_a_collector_nothing_of_opentelemetry_is_imported() -> None:
    code = "import sys; from shipway.runtime import lifecycle, otel; from shipway.runtime.settings import *\n"
    code += "with otel.exporting(TracingSettings(), 'x'): print([m for m in sys.modules if 'telemetry.sdk' in m])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_a_collector_without_opentelemetry_ends_the_start_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import sys; sys.modules['opentelemetry.sdk.trace.export'] = None\n"
    code += "from shipway.runtime.otel import *\nwith exporting(TracingSettings(endpoint='http://x'), 'x'): pass"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert "pip install 'shipway-common[otel]'" in ran.stderr
    monkeypatch.setenv("SHIPWAY__TRACING__ENDPOINT", "collector:4318")
    with pytest.raises(SystemExit):
        ServiceSettings.load()

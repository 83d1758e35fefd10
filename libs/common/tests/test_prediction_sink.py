"""answered = logged + dropped + waiting, whatever the broker does."""

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Counter

from shipway.contract.envelope import WireMessage
from shipway.contract.errors import Permanent, Transient
from shipway.contract.predictionlog import PredictionRecord, decode_batch
from shipway.runtime.prediction_sink import ANSWERED, DROPPED, LOGGED, PredictionSink


def record(number: int, model: str, outcome: Any = "answered") -> PredictionRecord:
    return PredictionRecord(
        str(number), datetime.now(UTC), model, 1, 1, "i", "champion", outcome, None, 5, None, None, [1.0], [0.5]
    )


def count(metric: Counter, model: str) -> float:
    return float(metric.labels(model, 1)._value.get())


@given(steps=st.lists(st.sampled_from(["put", "put", "put", "send", "away", "refuse"]), max_size=60))
def test_every_answer_is_accounted_for(steps: list[str]) -> None:
    asyncio.run(_account(uuid.uuid4().hex, steps))


async def _account(model: str, steps: list[str]) -> None:
    there: list[str] = []
    outcome = "send"

    async def send(message: WireMessage) -> None:
        if outcome == "away":
            raise Transient("away")
        if outcome == "refuse":
            raise Permanent("too large")
        there.extend(decode_batch(message.value)["prediction_id"].to_pylist())

    sink = PredictionSink(send, source="s", instance="i", capacity=7, batch_rows=3)
    put = 0
    for step in steps:
        if step == "put":
            sink.put(record(put, model))
            put += 1
        else:
            outcome = step
            try:
                if sink._waiting:
                    await sink._send_batch()
            except Transient:
                pass
        accounted = count(LOGGED, model) + count(DROPPED, model) + len(sink._waiting)
        assert count(ANSWERED, model) == put == accounted
    outcome = "away"
    await sink.close(within_s=0.01)
    assert count(ANSWERED, model) == count(LOGGED, model) + count(DROPPED, model)
    assert len(there) == len(set(there)) == count(LOGGED, model)


async def test_refused_requests_are_logged_but_are_no_answers() -> None:
    sent: list[WireMessage] = []

    async def send(message: WireMessage) -> None:
        sent.append(message)

    sink = PredictionSink(send, source="s", instance="i")
    sink.put(record(1, "refusing", "refused"))
    running = asyncio.create_task(sink.run())
    async with asyncio.timeout(5):
        while not sent:
            await asyncio.sleep(0.01)
    running.cancel()
    await sink.close()
    assert count(ANSWERED, "refusing") == 0 == count(LOGGED, "refusing")


async def test_a_batch_tried_again_keeps_its_id() -> None:
    seen: list[bytes] = []

    async def send(message: WireMessage) -> None:
        seen.append(dict(message.headers)["ce_id"])
        if len(seen) == 1:
            raise Transient("no acknowledgement: it may be there or not")

    sink = PredictionSink(send, source="s", instance="i")
    sink.put(record(1, "again"))
    with pytest.raises(Transient):
        await sink._send_batch()
    sink.put(record(2, "again"))
    await sink._send_batch()
    await sink._send_batch()
    assert seen[0] == seen[1] != seen[2]

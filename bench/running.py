"""A Shipway of its own for a measurement, and the models that it serves."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from model import NAME, make_spec

from shipway.client import Addresses, AsyncShipway
from shipway.contract.events import ModelApproved, ReleasePromoted
from shipway.embedded.stack import prepare
from shipway.embedded.supervisor import Supervisor
from shipway.runtime.kafka import Producer


@asynccontextmanager
async def running(folder: Path, predictors: int = 1) -> AsyncIterator[Supervisor]:
    """A Shipway on the embedded stack, ready."""
    plan = prepare(folder, predictors=predictors, usual_ports={}, durable=False)
    async with Supervisor(plan) as supervisor:
        await supervisor.wait_ready()
        yield supervisor


def addresses(supervisor: Supervisor) -> Addresses:
    """Where it is."""
    state = supervisor.state()
    assert state.gateway_url is not None and state.monitor_url is not None
    return Addresses(state.gateway_url, state.monitor_url, state.kafka_settings)


async def train(supervisor: Supervisor, data: Path, name: str = NAME, *, trees: int = 100) -> ModelApproved:
    """Declares a model and has a version of it trained and served; gives its approval."""
    async with AsyncShipway(addresses(supervisor)) as shipway:
        await shipway.declare(make_spec(data, name, trees=trees))
        async with shipway.events() as events:
            journeys = [journey async for journey in shipway.train(name)]
            assert journeys[-1].succeeded, journeys[-1]
            async for followed in events:
                if followed.event is not None and isinstance(followed.event.payload, ModelApproved):
                    return followed.event.payload
    raise AssertionError("the events ended")


async def approve(supervisor: Supervisor, approvals: Sequence[ModelApproved], within_s: float = 120) -> None:
    """Says, as the evaluator would, that these are approved; returns when all of them serve."""
    where = addresses(supervisor)
    waiting = {(one.model, one.version) for one in approvals}
    producer = Producer(where.kafka, "bench")
    await producer.start()
    try:
        async with AsyncShipway(where) as shipway, shipway.events() as events, asyncio.timeout(within_s):
            for one in approvals:
                await producer.publish("shipway/evaluator", one)
            async for followed in events:
                payload = followed.event.payload if followed.event else None
                if isinstance(payload, ReleasePromoted):
                    waiting.discard((payload.model, payload.version))
                if not waiting:
                    return
    finally:
        await producer.stop()


def copies(approval: ModelApproved, names: Sequence[str]) -> list[ModelApproved]:
    """The same version under other models' names."""
    return [msgspec.structs.replace(approval, model=name, version=1, request_id=f"copy-{name}") for name in names]

"""Puts the gateway together."""

import asyncio
from datetime import UTC, datetime

from shipway.contract.envelope import WireMessage
from shipway.contract.events import GatewayPresence
from shipway.contract.topics import GATEWAY_PRESENCE, PREDICTION_LOG
from shipway.gateway.api import add_routes
from shipway.gateway.asking import Asker, starting
from shipway.gateway.featuretable import FeatureTable
from shipway.gateway.groups import Groups
from shipway.gateway.infer import InferApp
from shipway.gateway.later import Later
from shipway.gateway.predict import PREFIX, PredictApp
from shipway.gateway.registry import Registry
from shipway.gateway.results import Results
from shipway.gateway.settings import GatewaySettings
from shipway.gateway.several import Several
from shipway.gateway.spans import PredictionSpans
from shipway.gateway.together import SeveralApp
from shipway.gateway.upstream import Upstream
from shipway.runtime.announcing import Announcer
from shipway.runtime.direct import Direct
from shipway.runtime.early import refusing
from shipway.runtime.guard import Guard, open_guard
from shipway.runtime.kafka import Producer, connected_producer, stop_bounded
from shipway.runtime.lifecycle import Body, Life
from shipway.runtime.ops import Check
from shipway.runtime.prediction_sink import PredictionSink, open_spool
from shipway.runtime.starting import provisioned
from shipway.runtime.workers import worker

# Larger bodies go through ASGI, with its flow control.
DIRECT_BYTES = 64_000
STOP_LATER_S = 5.0
GOODBYE_S = 1.0


def body(settings: GatewaySettings) -> Body:
    """The gateway's life."""

    async def run(life: Life) -> None:
        guard = open_guard(life, settings.auth)
        life.asgi = guard.around(refusing(life.app, starting))
        await provisioned(life, settings.kafka)
        report = lambda reason: life.readiness.report("kafka", reason)  # noqa: E731
        async with connected_producer(settings.kafka, "shipway-gateway", report) as producer:
            await _serve(life, settings, producer, guard)

    return run


async def _serve(life: Life, settings: GatewaySettings, producer: Producer, guard: Guard) -> None:
    name = settings.name(worker())
    features = FeatureTable(settings.kafka, settings.features)
    registry, started_at = Registry(settings.kafka, settings.probes, features), datetime.now(UTC)
    upstream = Upstream(registry, settings.limits)

    async def send(message: WireMessage) -> None:
        await producer.send(PREDICTION_LOG.name, message.key, message.value, message.headers)

    spool = await asyncio.to_thread(open_spool, settings.prediction_log)
    off = settings.prediction_log.off
    sink = PredictionSink(send, spool, source=f"shipway/gateway/{name}", instance=name, off=off)
    results, groups = Results(settings.kafka, settings.later), Groups(settings.kafka)
    add_routes(life.app, registry, results, producer, "shipway/gateway")
    asker = Asker(registry, upstream, sink, settings.limits, name)
    if settings.tracing.endpoint:
        asker.endings.on_answered = PredictionSpans(settings.tracing.sample, registry.desired.envelopes).answered
    several = Several(asker, groups, settings.limits.models)
    later = Later(several, results, producer, settings.later, "shipway/gateway", name, life.fail)
    together = SeveralApp(several, later, settings.limits, InferApp(asker, life.app))
    predict = PredictApp(asker, together)
    life.asgi = guard.around(predict)
    life.direct = guard.around_direct(Direct(PREFIX.encode(), DIRECT_BYTES, predict.begin))
    life.spawn("desired state", registry.desired.run())
    life.spawn("presence", registry.presence.run())
    life.spawn("results", results.view.run())
    life.spawn("groups", groups.view.run())
    life.spawn("features", features.run())
    life.spawn("probes", registry.run_probes())
    # Once read, the tables stay as they are when Kafka goes: predictions go on.
    life.readiness.check("tables", _unread(registry))
    life.spawn("prediction log", sink.run())
    announcer = Announcer(
        producer,
        f"shipway/gateway/{name}",
        GATEWAY_PRESENCE,
        name,
        lambda: GatewayPresence(gateway=name, started_at=started_at, routed=dict(registry.routed)),
        settings.heartbeat_s,
    )
    registry.on_routed = announcer.changed
    announcing = asyncio.create_task(_once_read(registry, announcer))
    life.ready()
    await life.stopped()
    announcing.cancel()
    await asyncio.gather(announcing, return_exceptions=True)
    await stop_bounded(announcer.goodbye(), GOODBYE_S)
    await life.stop_serving()
    await later.drain(STOP_LATER_S)
    await sink.close()
    await upstream.close()


async def _once_read(registry: Registry, announcer: Announcer) -> None:
    """Says what this gateway routes by, from when it has tables: until then nobody sends it a request."""
    await asyncio.gather(registry.desired.caught_up.wait(), registry.presence.caught_up.wait())
    await announcer.run()


def _unread(registry: Registry) -> Check:
    """Whether a gateway that starts has what it needs. One that has served goes on to: a version that is the first to
    look features up waits for them alone.
    """
    has_served = False

    def check() -> str | None:
        nonlocal has_served
        if not registry.read:
            return "desired state and presence not read yet"
        has_served = has_served or registry.features.ready or not registry.features.wanted.is_set()
        return None if has_served else "look-up tables not read yet"

    return check

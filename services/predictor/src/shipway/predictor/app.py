"""Puts the predictor together."""

import asyncio
from datetime import UTC, datetime

import msgspec

from shipway.bundle.trial import Trials
from shipway.contract.envelope import WireMessage
from shipway.contract.events import DesiredState
from shipway.contract.topics import DESIRED_STATE, PREDICTION_LOG, PRESENCE
from shipway.predictor.api import add_routes
from shipway.predictor.held import Versions
from shipway.predictor.inference import InferenceApp
from shipway.predictor.record import Recorder
from shipway.predictor.rowserver import RowServer
from shipway.predictor.settings import PredictorSettings
from shipway.predictor.sources import Sources, open_sources
from shipway.predictor.threads import ScoringThreads
from shipway.runtime import log
from shipway.runtime.announcing import Announcer
from shipway.runtime.kafka import Producer, connected_producer
from shipway.runtime.lifecycle import Body, Life
from shipway.runtime.prediction_sink import PredictionSink, open_spool
from shipway.runtime.starting import provisioned, reachable_store
from shipway.runtime.tableview import TableView

_log = log.get(__name__)


def newer(_model: str, new: DesiredState, old: DesiredState | None) -> bool:
    """A desired state is taken unless its generation has been passed."""
    return old is None or new.generation >= old.generation


def body(settings: PredictorSettings) -> Body:
    """The predictor's life."""

    async def run(life: Life) -> None:
        sources = await asyncio.to_thread(open_sources, settings.bundles, settings.objects)
        if sources.baked:
            _log.info("bundles beside the server", bundles=sorted(sources.baked), only=sources.only)
        await provisioned(life, settings.kafka)
        report = lambda reason: life.readiness.report("kafka", reason)  # noqa: E731
        async with connected_producer(settings.kafka, f"shipway-{settings.name}", report) as producer:
            if not sources.baked:  # else it has what to begin with; loads of the rest wait for the store
                await reachable_store(life, sources.store)
            await _serve(life, settings, producer, sources)

    return run


async def _serve(life: Life, settings: PredictorSettings, producer: Producer, sources: Sources) -> None:
    started_at = datetime.now(UTC)
    table = TableView(settings.kafka, DESIRED_STATE, DesiredState, accept=newer, on_change=lambda _: versions.wake())
    trials = Trials(timeout_s=settings.limits.trial_s, memory_mb=settings.limits.trial_mb)
    versions = Versions(
        sources,
        settings.limits,
        trials,
        table.values,
        lambda: announcer.changed(),
        bug=life.fail,
        traced=lambda model: table.envelopes[model].traceparent if model in table.envelopes else None,
    )
    source = f"shipway/predictor/{settings.name}"
    announcer = Announcer(
        producer,
        source,
        PRESENCE,
        settings.name,
        lambda: msgspec.structs.replace(
            versions.presence(settings.name, settings.url, started_at), rows=address, **sink.totals
        ),
        settings.heartbeat_s,
    )

    async def send(message: WireMessage) -> None:
        await producer.send(PREDICTION_LOG.name, message.key, message.value, message.headers)

    spool = await asyncio.to_thread(open_spool, settings.prediction_log)
    off = settings.prediction_log.off
    sink = PredictionSink(send, spool, source=source, instance=settings.name, off=off)
    with ScoringThreads() as threads:
        add_routes(life.app, versions)
        recorder = Recorder(sink, settings.name)
        life.asgi = InferenceApp(versions, recorder, threads, life.app)
        row_server = RowServer(versions, recorder, threads)
        listening = await asyncio.get_running_loop().create_server(
            row_server.connected, settings.http.host, settings.rows_port, backlog=1024
        )
        address = settings.rows_address(listening.sockets[0].getsockname()[1])
        life.spawn("desired state", table.run())
        life.readiness.report("desired state", "not read yet")
        await _caught_up(life, table)
        await asyncio.to_thread(trials.warm)
        life.spawn("versions", versions.run())
        life.spawn("prediction log", sink.run())
        announcing = asyncio.create_task(announcer.run())
        life.readiness.check("versions", lambda: "; ".join(versions.problems()) or None)
        life.ready()
        await life.stopped()
        # Gateways hear the goodbye, or see the readiness, and send elsewhere; what still comes is served.
        announcing.cancel()
        await asyncio.gather(announcing, return_exceptions=True)
        await announcer.goodbye()
        await asyncio.sleep(settings.drain_s)
        await life.stop_serving()
        listening.close()
        await row_server.drain()
        await sink.close()
    await asyncio.to_thread(trials.close)


async def _caught_up(life: Life, table: TableView[DesiredState]) -> None:
    waiting = asyncio.create_task(table.caught_up.wait())
    stopping = asyncio.create_task(life.stopped())
    await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    stopping.cancel()
    life.readiness.report("desired state", None)

"""Puts the monitor together."""

import asyncio

import httpx

from shipway.contract.events import GatewayPresence, Presence
from shipway.contract.topics import GATEWAY_PRESENCE, PREDICTION_LOG, PRESENCE
from shipway.monitor.accountant import Accountant
from shipway.monitor.api import add_routes
from shipway.monitor.dashboard.room import add_dashboard
from shipway.monitor.forgetter import Forgetter
from shipway.monitor.handlers import handlers, raw_handlers
from shipway.monitor.historian import Historian
from shipway.monitor.joiner import Joiner
from shipway.monitor.learning import Learner
from shipway.monitor.letterroutes import add_letter_routes
from shipway.monitor.notifier import Notifier
from shipway.monitor.references import References
from shipway.monitor.reports import add_report_routes
from shipway.monitor.retrainer import Retrainer
from shipway.monitor.settings import MonitorSettings
from shipway.monitor.trainingroutes import add_training_routes
from shipway.monitor.watch import Watch
from shipway.monitor.watcher import Watcher
from shipway.runtime.commands import command_admission
from shipway.runtime.guard import open_guard
from shipway.runtime.lifecycle import Body, Life
from shipway.runtime.objects import open_store
from shipway.runtime.parts import connected, consuming
from shipway.runtime.reconciler import Reconciler
from shipway.runtime.tableview import TableView


def body(settings: MonitorSettings) -> Body:
    """The monitor's life."""

    async def run(life: Life) -> None:
        guard = open_guard(life, settings.auth)
        life.asgi = guard.around(life.app)
        async with (
            connected(life, "monitor", settings.kafka, settings.database) as parts,
            httpx.AsyncClient() as client,
        ):
            presence = TableView(settings.kafka, PRESENCE, Presence)
            gateways = TableView(settings.kafka, GATEWAY_PRESENCE, GatewayPresence)
            watch = Reconciler("watch", Watch(parts).step, settings.beat_s)
            objects = open_store(settings.objects)
            filed = Historian(parts.database, objects, settings.history)
            history = Reconciler("history", filed.step, min(settings.beat_s, settings.history.roll_s))
            references = References(parts.database, objects)
            joined = Reconciler("labels", Joiner(parts, objects, references, settings.labels).step, settings.beat_s)
            add_routes(life.app, parts.database, presence, settings.silent_after_s)
            add_report_routes(life.app, parts.database, objects)
            add_training_routes(life.app, parts.database, parts.relay.wake)
            add_letter_routes(life.app, parts.database, parts.relay.wake)
            stream = None
            if settings.dashboard.on:
                shown = (presence, gateways, objects)
                stream, life.asgi = add_dashboard(life.app, parts, guard, *shown, settings, client)
            admit = command_admission(settings.auth)
            raw = raw_handlers(settings.batches.bounds(), 1_000_000 * settings.history.staging_mb)
            counting = Accountant(parts, presence, gateways, settings.silent_after_s, settings.levels_beat_s)
            learning = Reconciler("references", Learner(parts.database, references).step, settings.beat_s)
            approved = asyncio.Event()

            def after_commit() -> None:
                if approved.is_set():  # not for each batch of predictions
                    approved.clear()
                    learning.wake()

            obeyed = handlers(approved=approved.set)
            async with consuming(
                life, parts, settings.kafka, obeyed, raw=raw, admit=admit, after_commit=after_commit
            ) as consumer:
                progress = lambda: consumer.progress(PREDICTION_LOG)  # noqa: E731
                watcher = Watcher(parts.database, parts.source, progress)
                life.spawn("presence", presence.run())
                life.spawn("gateways", gateways.run())
                life.spawn("watch", watch.run())
                # With the object store away it waits, and so in the end does the consumer; the API goes on.
                life.spawn("history", history.run())
                life.spawn("references", learning.run())
                life.spawn("labels", joined.run())
                forgetting = Reconciler("forgetting", Forgetter(parts, objects).step, settings.beat_s)
                life.spawn("forgetting", forgetting.run())
                notifier = Notifier(parts.database, settings.alerts, client)
                life.spawn("alerts", Reconciler("alerts", notifier.step, settings.beat_s).run())
                life.spawn("windows", Reconciler("windows", watcher.step, settings.watch_beat_s).run())
                life.spawn("levels", Reconciler("levels", counting.step, settings.levels_beat_s).run())
                life.spawn("retraining", Reconciler("retraining", Retrainer(parts).step, settings.watch_beat_s).run())
                life.readiness.check("watch", lambda: watch.problem)
                life.ready()
                await life.stopped()
                if stream is not None:
                    await stream.end()

    return run

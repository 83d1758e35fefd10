"""Where the releaser's parts are made and put together."""

from shipway.contract.events import Presence
from shipway.contract.topics import PRESENCE
from shipway.releaser.handlers import HANDLERS
from shipway.releaser.remover import Remover
from shipway.releaser.republish import republish, republish_for_ever
from shipway.releaser.rollouts import Rollouts
from shipway.releaser.settings import ReleaserSettings
from shipway.runtime.commands import command_admission
from shipway.runtime.lifecycle import Body, Life
from shipway.runtime.objects import open_store
from shipway.runtime.parts import connected, consuming
from shipway.runtime.reconciler import Reconciler
from shipway.runtime.tableview import TableView

BUNDLES_BEAT_S = 30.0


def body(settings: ReleaserSettings) -> Body:
    """The releaser's life under these settings."""

    async def run(life: Life) -> None:
        async def on_broker_loss() -> None:
            await republish(parts)

        async with connected(
            life, "releaser", settings.kafka, settings.database, on_broker_loss=on_broker_loss
        ) as parts:
            presence = TableView(
                settings.kafka, PRESENCE, Presence, accept=_own_key, on_change=lambda _instance: reconciler.wake()
            )
            rollouts = Rollouts(parts, presence, settings.rollout)
            reconciler = Reconciler("rollouts", rollouts.step, settings.rollout.beat_s)
            remover = Reconciler("bundles", Remover(parts, open_store(settings.objects)).step, BUNDLES_BEAT_S)
            life.readiness.check("presence", lambda: presence.problem)
            life.readiness.check("rollouts", lambda: reconciler.problem)
            admit = command_admission(settings.auth)

            def after_commit() -> None:
                rollouts.changed()
                reconciler.wake()

            async with consuming(life, parts, settings.kafka, HANDLERS, admit=admit, after_commit=after_commit):
                life.spawn("presence", presence.run())
                life.spawn("rollouts", reconciler.run())
                # With the object store away it waits, and holds up nothing else.
                life.spawn("bundles", remover.run())
                life.spawn("republish", republish_for_ever(parts, settings.rollout.republish_s))
                life.ready()
                await life.stopped()

    return run


def _own_key(key: str, new: Presence, _old: Presence | None) -> bool:
    return key == new.instance

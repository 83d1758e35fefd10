"""The loop that carries the decisions out: looks at every model, and where something is due, decides under its lock.

A model that somebody else has locked is left for the next look, so that none waits for another's. What instances say
comes often, and changes no table: it is held against the tables as they were last read or written (see ``changed``), as
a decision is made anew, from what is true then, before it is carried out.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from prometheus_client import Counter, Gauge, Histogram

from shipway.contract import events as e
from shipway.contract.envelope import Envelope
from shipway.releaser.counts import Instance
from shipway.releaser.evidence import live_instances
from shipway.releaser.release import Decision, decide
from shipway.releaser.saving import save
from shipway.releaser.serving import Serving
from shipway.releaser.settings import RolloutSettings
from shipway.releaser.state import ENDED, IN_PROGRESS, Limits, Model
from shipway.releaser.stored import Stored, load, saved, take
from shipway.runtime import log, trace
from shipway.runtime.database import Transaction
from shipway.runtime.delivery import Outgoing, outbox_written, outgoing, put
from shipway.runtime.parts import Parts
from shipway.runtime.tableview import TableView

_log = log.get(__name__)
# What another releaser wrote, which nobody tells this one, is seen as soon.
READ_ANEW = timedelta(seconds=2)
ENDED_RELEASES = Counter("shipway_releases_total", "Releases that ended, by how.", ["model", "state"])
OPEN_RELEASES = Gauge("shipway_releases_open", "Releases that wait or are under way.", ["model", "state"])
GENERATION = Gauge("shipway_desired_state_generation", "Generation of a model's desired state.", ["model"])
APPROVED_TO_ACTIVE = Histogram(
    "shipway_release_seconds",
    "Seconds from the approval of a version until it was the champion.",
    ["model"],
    buckets=(1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600),
)


class Rollouts:
    """Holds every model to the rules of ``release``. ``step`` is level-triggered; call it as often as you like."""

    def __init__(
        self,
        parts: Parts,
        presence: TableView[e.Presence],
        settings: RolloutSettings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._parts = parts
        self._presence = presence
        self._clock = clock
        self._dead_after = timedelta(seconds=settings.dead_after_s)
        self._limits = Limits(
            drain=timedelta(seconds=settings.drain_s),
            standby=settings.standby_limit,
            replacement_pause=timedelta(seconds=settings.replacement_pause_s),
        )
        self._serving = Serving()
        self._read: dict[str, Stored] = {}
        self._read_at: datetime | None = None

    def changed(self) -> None:
        """Says that an event has changed the tables: the next step reads them."""
        self._read_at = None

    async def step(self) -> bool:
        """Takes every step that is due, model by model; never asks for more at once.

        Raises:
            Transient: the database is away.
        """
        if not self._presence.caught_up.is_set() or self._presence.problem is not None:
            return False  # blind: what is not seen must not be taken for gone
        if self._read_at is None or not timedelta(0) <= self._clock() - self._read_at < READ_ANEW:
            # Before it is read: what changes meanwhile is read once more.
            self._read_at = self._clock()
            async with self._parts.database.begin() as tx:
                self._read = {stored.model.name: stored for stored in await load(tx)}
        for name, seen in tuple(self._read.items()):
            _show(seen.model)
            if self._decided(seen.model, self._clock()).model != seen.model:
                await self._carry_out(name)
        return False

    async def _carry_out(self, name: str) -> None:
        written: Stored | None = None
        try:
            written = await self._written(name)
        finally:
            if written is None:  # what the tables have now is not known
                self.changed()
            else:
                self._read[name] = written

    async def _written(self, name: str) -> Stored | None:
        """Decides under the lock, and writes and tells what is decided; None where somebody else has the model."""
        async with self._parts.database.begin() as tx:
            stored = await take(tx, name)
            if stored is None:
                return None
            now = self._clock()
            decision = self._decided(stored.model, now)
            await self._write(tx, stored, decision, now)
            told = outbox_written(tx)
        if told:
            self._parts.relay.wake()
        _tell(stored, decision, now)
        return saved(stored, decision.model)

    async def _write(self, tx: Transaction, stored: Stored, decision: Decision, now: datetime) -> None:
        last: str | None = None
        told: list[Outgoing] = []
        source = self._parts.source
        for event in decision.events:
            if isinstance(event, e.CommandAnswered):
                last = stored.order_traces.get(event.command_id)
            elif isinstance(event, e.TrainingRequested):
                last = None  # what is asked for begins a trace of its own
            else:
                last = stored.traceparents.get(event.version)
            with trace.within(last, _step_of(event)):
                told.append(outgoing(source, event))
        desired = await save(tx, self._serving, stored.model, decision.model, last, now)
        if desired is not None:
            with trace.within(last, f"generation {desired.generation}"):
                told.append(outgoing(source, desired, event_id=event_id_of(desired)))
        await put(tx, told)

    def _decided(self, model: Model, now: datetime) -> Decision:
        return decide(model, self._instances(model.name, now), now, self._limits)

    def _instances(self, model: str, now: datetime) -> Sequence[Instance]:
        envelopes: Mapping[str, Envelope] = self._presence.envelopes
        reports = [(self._presence.values[key], envelope.time) for key, envelope in envelopes.items()]
        return live_instances(reports, model, now, self._dead_after)


def _step_of(event: e.Event) -> str:
    if isinstance(event, e.ReleaseProgressed):
        return f"release: {event.from_state} to {event.to_state}"
    return "release"


def event_id_of(desired: e.DesiredState) -> str:
    """The same for every publication of a generation, so that a repetition is known as one."""
    return f"{desired.model}-{desired.generation}"


def _show(model: Model) -> None:
    GENERATION.labels(model.name).set(model.generation)
    for state in ("approved", *IN_PROGRESS):
        OPEN_RELEASES.labels(model.name, state).set(sum(r.state == state for r in model.releases.values()))


def _tell(stored: Stored, decision: Decision, now: datetime) -> None:
    """Metrics and log, once the transaction has committed."""
    _show(decision.model)
    for event in decision.events:
        if isinstance(event, e.CommandAnswered):
            told = {name: getattr(event, name) for name in ("model", "action", "version", "done", "answer", "reason")}
            _log.warning("operator's command", **told, by=event.requested_by)
        if isinstance(event, e.ReleaseProgressed):
            with trace.within(stored.traceparents.get(event.version)):
                _log.info(
                    "release",
                    model=event.model,
                    version=event.version,
                    from_state=event.from_state,
                    to_state=event.to_state,
                    candidate_share=event.candidate_share,
                    generation=event.generation,
                    reason=event.reason,
                    by=event.by,
                )
            if event.to_state in ENDED:
                ENDED_RELEASES.labels(event.model, event.to_state).inc()
            if event.to_state == "active":
                waited = now - stored.approved_at[event.version]
                APPROVED_TO_ACTIVE.labels(event.model).observe(max(0.0, waited.total_seconds()))

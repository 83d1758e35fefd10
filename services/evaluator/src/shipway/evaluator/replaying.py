"""Makes the replays that were asked for, one by one, beside the judging: each in a process of its own, told once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from shipway.contract.events import ReplayCompleted, ReplayFailed, ReplayRequested
from shipway.evaluator import metrics, replaystore
from shipway.evaluator.evidence import Court
from shipway.evaluator.replays import End, ended, of_unknown
from shipway.evaluator.replaystore import Replay
from shipway.evaluator.settings import ReplaySettings
from shipway.evaluator.store import storable
from shipway.evaluator.turns import Stopped, Turns
from shipway.runtime import delivery, log, trace
from shipway.runtime.children import ChildEnd, run_child
from shipway.runtime.database import Transaction
from shipway.runtime.parts import Parts

_log = log.get(__name__)
CHILD = "shipway.evaluator.replaychild"


class Replayer:
    """``step`` and ``stop`` are those of its turns, a replay each."""

    def __init__(self, parts: Parts, court: Court, settings: ReplaySettings, child: str = CHILD) -> None:
        self._parts = parts
        self._court = court
        self._settings = settings
        self._child = child
        turns = Turns(parts, court.stopping, self._next, "replaying")
        self.step, self.stop = turns.step, turns.stop

    async def _next(self, tx: Transaction) -> bool:
        metrics.REPLAYS_WAITING.set(await replaystore.waiting(tx))
        replay = await replaystore.take(tx)
        if replay is None:
            return False
        with trace.within(replay.traceparent, "replaying", model=replay.model, version=replay.version):
            await self._make(tx, replay)
        return True

    async def _make(self, tx: Transaction, replay: Replay) -> None:
        known = await replaystore.digests(tx, replay.model, replay.version)
        if replay.version not in known:
            await self._follow(tx, replay, of_unknown(replay.version, replay.received_at, datetime.now(UTC)))
            return
        child = await self._run(replay, known)
        if child.kind == "stopped":
            raise Stopped
        end = ended(child.kind, child.reason, replay.crashes, self._settings.crashes_allowed)
        completed = None
        if end.kind == "completed":
            try:
                completed = _completed(replay, child.result)
            except msgspec.ValidationError as err:
                reason = f"the replaying process told what can't be: {err}"
                end = ended("crashed", reason, replay.crashes, self._settings.crashes_allowed)
        await self._follow(tx, replay, end, completed)

    async def _follow(
        self, tx: Transaction, replay: Replay, end: End, completed: ReplayCompleted | None = None
    ) -> None:
        if end.kind == "later":
            _log.warning("replay waits", model=replay.model, version=replay.version, reason=end.reason)
            rest = timedelta(seconds=self._settings.wait_s)
            await replaystore.postpone(tx, replay, rest, end.reason, crashed=end.crashed)
            return
        if await replaystore.end(tx, replay, end.reason):
            await delivery.emit(tx, self._parts.source, completed or failed(replay, end.reason))
            metrics.REPLAYS.labels(end.kind).inc()
            _log.info("replay over", model=replay.model, version=replay.version, outcome=end.kind, reason=end.reason)

    async def _run(self, replay: Replay, known: dict[int, str]) -> ChildEnd:
        court, settings = self._court, self._settings
        order = {
            "objects": court.objects.model_dump() | {"secret_key": court.objects.secret_key.get_secret_value()},
            "data": court.data.model_dump(),
            "model": replay.model,
            "start": replay.start,
            "end": replay.end,
            "limit": replay.limit,
            "digest": known[replay.version],
            "digests": {str(version): digest for version, digest in known.items()},
            "time_limit_s": settings.time_limit_s,
            "memory_mb": settings.memory_mb,
        }
        return await run_child(
            self._child,
            order,
            time_limit_s=settings.time_limit_s,
            memory_mb=settings.memory_mb,
            stop=court.stopping,
        )


def failed(replay: Replay | ReplayRequested, reason: str) -> ReplayFailed:
    """The end of a replay, or of a request for one, without a comparison."""
    return ReplayFailed(
        model=replay.model,
        command_id=replay.command_id,
        version=replay.version,
        reason=storable(reason),
        requested_by=replay.requested_by,
    )


def _completed(replay: Replay, found: Any) -> ReplayCompleted:
    """What the process found, as it is told. Raises ValidationError where it is no comparison."""
    told = msgspec.convert(found, dict[str, Any])
    times = {"first_at": told.pop("from", None), "last_at": told.pop("to", None)}
    asked = {"model": replay.model, "command_id": replay.command_id, "version": replay.version}
    asked |= {"reason": replay.reason, "requested_by": replay.requested_by}
    return msgspec.convert(told | times | asked, ReplayCompleted)

"""Replays of a version as its page shows them: under way, with their comparison, or with why there is none. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from shipway.contract.events import ReplayCompleted, ReplayFailed, ReplayRequested
from shipway.monitor.dashboard import figures
from shipway.monitor.dashboard.versus import SMALLER_IS_BETTER, Line, better_of

TYPES = (ReplayRequested.type, ReplayCompleted.type, ReplayFailed.type)
SHOWN = 5


@dataclass(frozen=True)
class Replay:
    """One replay. ``state``: asked, completed or failed; ``at``: when that was told.

    ``words`` say what it found in a line, ``lines`` are its figures as answered and as replayed.
    """

    command_id: str
    state: str
    at: datetime
    by: str
    why: str = ""
    period: str = ""
    words: str = ""
    lines: Sequence[Line] = field(default_factory=tuple)
    answered: str = ""
    moves: str = ""

    @property
    def running(self) -> bool:
        """Whether no end was told of."""
        return self.state == "asked"

    def refused(self, letter: Any) -> "Replay":
        """The replay, failed where its command was refused (a row of a dead letter: service, reason)."""
        if letter is None:
            return self
        return replace(self, state="failed", words=f"the {letter.service} does not take it: {letter.reason}")


def replays(events: Iterable[Mapping[str, Any]]) -> list[Replay]:
    """The last replays, the newest first, by events of these TYPES (type, at, payload) in any order.

    What ended is known by its end alone, whether or not the request was heard of.
    """
    found: dict[str, Replay] = {}
    for row in sorted(events, key=lambda row: (row["at"], TYPES.index(row["type"]))):
        one = _replay(row["type"], row["at"], row["payload"])
        before = found.get(one.command_id)
        if before is None or before.state == "asked":
            found.pop(one.command_id, None)
            found[one.command_id] = one
    return list(found.values())[::-1][:SHOWN]


def said(p: Mapping[str, Any]) -> str:
    """What a completed replay (ReplayCompleted's payload) found, in a line."""
    moved = (p.get("scores") or {}).get("mean_absolute")
    words = (
        f"{figures.count(p.get('rows'))} predictions asked again: scores differ by {figures.figure(moved)} on average"
    )
    if decided := p.get("decisions"):
        words += f", {figures.count(decided['changed'])} decisions ({figures.share(decided['share'])})"
    return words


def _replay(kind: str, at: datetime, p: Mapping[str, Any]) -> Replay:
    by, why = p.get("requested_by", ""), p.get("reason", "")
    if kind == ReplayRequested.type:
        asked = f"{p['start'][:10]} to {p['end'][:10]}, {figures.count(p['limit'])} at most"
        return Replay(p["command_id"], "asked", at, by, why, asked)
    if kind == ReplayFailed.type:
        return Replay(p["command_id"], "failed", at, by, words=why)
    answered = ", ".join(f"{figures.count(number)} by version {name}" for name, number in p["answered_by"].items())
    left = "".join(f"; left out: {figures.count(number)} {what}" for what, number in p["left_out"].items())
    return Replay(
        command_id=p["command_id"],
        state="completed",
        at=at,
        by=by,
        why=why,
        period=f"{p['first_at'][:16]} to {p['last_at'][:16]}".replace("T", " "),
        words=said(p),
        lines=_lines(p),
        answered=f"answered {answered}{left}",
        moves=_moves(p),
    )


def _lines(p: Mapping[str, Any]) -> list[Line]:
    logged, again = p["quality"]["logged"], p["quality"]["replayed"]
    found = []
    for name in logged:
        values = [logged[name], again.get(name)]
        better = better_of(values, smaller=name in SMALLER_IS_BETTER)
        found.append(Line(name, [figures.figure(value) for value in values], better))
    times = [p["latency_ms"]["logged"] or {}, p["latency_ms"]["replayed"] or {}]
    names = dict.fromkeys(name for side in times for name in side)
    return found + [Line(f"{name} latency", [figures.latency(_us(side.get(name))) for side in times]) for name in names]


def _us(ms: float | None) -> float | None:
    return None if ms is None else 1000 * ms


def _moves(p: Mapping[str, Any]) -> str:
    moves = (p.get("decisions") or {}).get("moves") or []
    return ", ".join(f"{figures.count(one['rows'])} from {one['from']} to {one['to']}" for one in moves[:5])

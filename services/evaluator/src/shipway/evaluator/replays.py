"""Which replays are taken, and what becomes of one when its process has ended. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from shipway.contract.events import ReplayRequested

NOT_KNOWN_FOR = timedelta(seconds=30)


@dataclass(frozen=True)
class Limits:
    """How much may be asked for: rows and days of one replay, and how many may wait."""

    rows: int
    days: int
    waiting: int


@dataclass(frozen=True)
class End:
    """What becomes of a replay: it is ``over``, for the reason where it gave no comparison, or is tried again."""

    kind: Literal["completed", "failed", "later"]
    reason: str = ""
    crashed: bool = False


def refusal(asked: ReplayRequested, waiting: int, limits: Limits) -> str:
    """Why a request that is well-formed is not taken, with the remedy; empty where it is."""
    if asked.limit > limits.rows:
        return f"limit: {asked.limit:,} predictions are asked for, {limits.rows:,} are allowed (REPLAY__MAX_ROWS)"
    if asked.end - asked.start > timedelta(days=limits.days):
        return f"start: more than {limits.days} days before the end (REPLAY__MAX_DAYS)"
    if waiting >= limits.waiting:
        return f"{waiting} replays wait already, as many as may (REPLAY__MAX_WAITING); ask again later"
    return ""


def of_unknown(version: int, received_at: datetime, now: datetime) -> End:
    """A version that the evaluator has not heard of may be on its way to it: topics are read side by side."""
    why = f"the evaluator does not know version {version}"
    return End("later", why) if now - received_at < NOT_KNOWN_FOR else End("failed", why)


def ended(kind: str, reason: str, crashes: int, crashes_allowed: int) -> End:
    """What follows from how the process ended (ChildEnd.kind), which had died ``crashes`` times before.

    One that took too long would take so again.
    """
    match kind:
        case "done":
            return End("completed")
        case "transient":
            return End("later", reason)
        case "crashed" if crashes < crashes_allowed:
            return End("later", reason, crashed=True)
        case "crashed":
            return End("failed", f"{reason}; tried {crashes + 1} times")
        case "timed_out":
            return End("failed", f"{reason}; ask for fewer predictions, or a shorter time")
        case _:
            return End("failed", reason)

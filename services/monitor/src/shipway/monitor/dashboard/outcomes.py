"""What became of what was asked for: by what the services said since, in the monitor's tables. Within a transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from shipway.monitor import forgetstore, letters, reading
from shipway.monitor.dashboard import figures, happened, replays
from shipway.runtime.database import Transaction

Kind = Literal["command", "request", "cancel", "retry", "forgetting", "replay"]
RUNNING = frozenset({"requested", "accepted", "training"})
# How often a page asks, every 0.7 s: services answer within a second or two, but for what takes its time.
TRIES: Mapping[Kind, int] = {"command": 30, "request": 30, "cancel": 90, "retry": 30, "forgetting": 420, "replay": 900}


@dataclass(frozen=True)
class Outcome:
    """What is said of it. ``good``: it was done; ``leads_to``: where to look on."""

    text: str
    good: bool = True
    leads_to: str = ""


async def outcome(tx: Transaction, model: str, kind: Kind, asked_id: str, of: str, before: str) -> Outcome | None:
    """What became of an event that was sent as ``asked_id``; None: nothing yet.

    ``of``: the request that a command is about; ``before``: when that had changed last.
    """
    refused = await letters.refusal_of(tx, asked_id)
    if refused is not None:
        return Outcome(f"the {refused.service} does not take it: {refused.reason}", good=False)
    match kind:
        case "command":
            found = await happened.answer(tx, model, asked_id)
            return Outcome(str(found.get("answer", "")), bool(found.get("done"))) if found is not None else None
        case "forgetting":
            return await _forgetting(tx, model, asked_id)
        case "replay":
            return await _replay(tx, model, asked_id)
        case "request" | "cancel" | "retry":
            row = await reading.request(tx, of or asked_id)
            return of_request(kind, row, before) if row is not None and row["model"] == model else None


async def _forgetting(tx: Transaction, model: str, command_id: str) -> Outcome | None:
    row = await forgetstore.answered(tx, command_id)
    if row is None or row.model != model:
        return None
    gone = f"gone: {figures.count(row.records)} predictions and {figures.count(row.labels)} labels of {model}"
    named = ", ".join(map(str, await forgetstore.versions_of(tx, model, row.first_at, row.last_at)))
    left = f"; version {named} was trained or judged on the history of that time, and stays" if named else ""
    return Outcome(gone + left)


async def _replay(tx: Transaction, model: str, command_id: str) -> Outcome | None:
    ended = await happened.end_of_replay(tx, model, command_id)
    if ended is None:
        return None
    leads_to = f"/dashboard/models/{quote(model, safe='')}/versions/{ended['version']}#replays"
    if "rows" in ended:
        return Outcome(replays.said(ended), leads_to=leads_to)
    return Outcome(f"no replay: {ended['reason']}", good=False, leads_to=leads_to)


def of_request(kind: Kind, row: Mapping[str, Any], before: str) -> Outcome | None:
    """What a request's row says of the request itself, of its cancelling, or of another run of it. Pure."""
    state, short = row["state"], row["request_id"][:8]
    why = f": {row['message']}" if row["message"] else ""
    leads_to = f"/dashboard/jobs/{quote(row['request_id'], safe='')}"
    if kind == "request" and state != "requested":
        if state == "failed":
            return Outcome(f"{short} failed{why}", good=False, leads_to=leads_to)
        return Outcome(f"accepted: {short}", leads_to=leads_to)
    if kind == "cancel" and state not in RUNNING:
        ended = state == "failed"
        return Outcome(f"{short} ended{why}" if ended else f"{short} had ended: {state}", ended, leads_to)
    if kind == "retry" and row["changed_at"].isoformat() != before:
        if state == "failed":
            return Outcome(f"{short} failed again{why}", good=False, leads_to=leads_to)
        return Outcome(f"{short} runs again", leads_to=leads_to)
    return None

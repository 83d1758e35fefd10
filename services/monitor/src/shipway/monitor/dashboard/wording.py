"""Events as sentences, for people who look at many. Pure."""

from collections.abc import Mapping
from typing import Any

from shipway.monitor.dashboard import figures, replays

_BAD = frozenset({"TrainingFailed", "ModelRejected", "ReleaseRolledBack", "ModelDegraded", "ReplayFailed"})
_GOOD = frozenset({"ModelApproved", "ReleasePromoted"})


def short_name(kind: str) -> str:
    """An event's type without the frame: ModelApproved."""
    parts = kind.split(".")
    return parts[1] if len(parts) == 3 else kind


def tone(kind: str, payload: Mapping[str, Any]) -> str:
    """How it looks: good, bad or plain."""
    name = short_name(kind)
    if name == "CommandAnswered":
        return "plain" if payload.get("done") else "bad"
    return "bad" if name in _BAD else "good" if name in _GOOD else "plain"


def sentence(kind: str, p: Mapping[str, Any]) -> str:
    """What an event says; of one that is not known here its own fields."""
    version, reason = p.get("version"), p.get("reason") or ""
    match short_name(kind):
        case "ModelDeclared":
            return f"declared by {p.get('declared_by')}"
        case "TrainingRequested":
            return f"training asked for by {p.get('requested_by')}: {reason}"
        case "TrainingAccepted":
            return "training accepted"
        case "TrainingProgressed":
            done = figures.share(p.get("fraction"))
            return f"training {p.get('outcome') or 'in'} {p.get('stage')}, {done} done: {p.get('message') or ''}"
        case "TrainingCompleted":
            return f"version {version} trained on {figures.count(p.get('training_rows'))} rows"
        case "TrainingFailed":
            return f"training failed in {p.get('stage')}: {reason}"
        case "ModelApproved":
            held = f", but held: {p['hold']}" if p.get("hold") else ""
            return f"version {version} approved: {len(p.get('gates') or ())} gates passed{held}"
        case "ModelRejected":
            return f"version {version} rejected: {reason}"
        case "ReleaseProgressed":
            share = figures.share(p.get("candidate_share"))
            return (
                f"version {version} from {p.get('from_state')} to {p.get('to_state')}, {share} of the traffic: {reason}"
            )
        case "ModelReleased":
            return f"version {version} takes traffic on {len(p.get('instances') or ())} instances"
        case "ReleasePromoted":
            return f"version {version} is the champion: {reason}"
        case "ReleaseRolledBack":
            return f"version {version} rolled back: {reason}"
        case "ReleaseSuperseded":
            return f"version {version} passed over for version {p.get('by_version')}"
        case "ModelDegraded":
            return f"version {version} broke its service level: {reason}"
        case "ModelRetired":
            return f"version {version} retired by {p.get('policy')}: {reason}"
        case "RetirementDeferred":
            return f"version {version} stays for now: {reason}"
        case "CommandAnswered":
            done = "done" if p.get("done") else "refused"
            action = str(p.get("action")).replace("_", " ")
            return f"{action} by {p.get('requested_by')}, {done}: {p.get('answer')}"
        case "ReplayRequested":
            return f"replay of version {version} asked for by {p.get('requested_by')}: {reason}"
        case "ReplayCompleted":
            return f"version {version}: {replays.said(p)}"
        case "ReplayFailed":
            return f"no replay of version {version}: {reason}"
        case _:
            said = [f"{name} {value}" for name, value in p.items() if name != "model" and _plain(value)]
            return ", ".join(said)[:300] or short_name(kind)


def _plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and value != ""

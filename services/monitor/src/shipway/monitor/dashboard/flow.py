"""A model's way from request to service as a drawing: what each step does now, and where its box stands. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from shipway.monitor.dashboard import figures

State = Literal["idle", "active", "done", "failed", "waiting"]
_TITLES = ("request", "training", "evaluation", "rollout", "service", "monitoring")
WIDTH, HEIGHT, GAP = 176, 92, 34
TALL_WIDTH, TALL_HEIGHT, TALL_GAP = 320, 66, 18


@dataclass(frozen=True)
class Step:
    """One step: its title, how it stands, and that in words."""

    title: str
    state: State
    headline: str
    detail: str = ""


@dataclass(frozen=True)
class Box:
    """A step with its place in the drawing, in its units."""

    step: Step
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Link:
    """An arrow from one box to the next; ``live``: something is on its way there now."""

    path: str
    live: bool


@dataclass(frozen=True)
class Drawing:
    """The boxes and arrows, within ``width`` by ``height``; ``words`` tells the same."""

    boxes: Sequence[Box]
    links: Sequence[Link]
    width: int
    height: int
    words: str


def steps_of(
    request: Mapping[str, Any] | None,
    newest: Mapping[str, Any] | None,
    rollout: Mapping[str, Any] | None,
    champion: int | None,
    rate: float | None,
    open_alerts: int,
) -> list[Step]:
    """The six steps, by the newest training request, the newest version, the release in progress, and the traffic.

    ``request`` and ``newest`` are rows of the monitor's tables (requests, versions), ``rollout`` is a version's row.
    """
    return [
        _request(request),
        _training(request),
        _evaluation(newest),
        _rollout(newest, rollout),
        _service(champion, rate),
        _monitoring(champion, open_alerts),
    ]


def drawing(steps: Sequence[Step], *, tall: bool) -> Drawing:
    """The steps in a row, or one below the other."""
    if tall:
        boxes = [Box(s, 1, 1 + i * (TALL_HEIGHT + TALL_GAP), TALL_WIDTH, TALL_HEIGHT) for i, s in enumerate(steps)]
        middle = TALL_WIDTH // 2
        paths = [f"M{middle} {box.y + box.height + 2}V{box.y + box.height + TALL_GAP - 4}" for box in boxes[:-1]]
        size = TALL_WIDTH + 2, len(steps) * (TALL_HEIGHT + TALL_GAP) - TALL_GAP + 2
    else:
        boxes = [Box(s, 1 + i * (WIDTH + GAP), 1, WIDTH, HEIGHT) for i, s in enumerate(steps)]
        middle = 1 + HEIGHT // 2
        paths = [f"M{box.x + box.width + 3} {middle}H{box.x + box.width + GAP - 5}" for box in boxes[:-1]]
        size = len(steps) * (WIDTH + GAP) - GAP + 2, HEIGHT + 2
    live = [_flows(a, b) for a, b in pairwise(steps)]
    links = [Link(path, on) for path, on in zip(paths, live, strict=True)]
    words = "; ".join(f"{s.title}: {s.headline}{f', {s.detail}' if s.detail else ''}" for s in steps)
    return Drawing(boxes, links, *size, words)


def _flows(before: Step, after: Step) -> bool:
    """Whether what the one step gave is in the other's hands now."""
    if after.title == "monitoring":
        return before.state == "active"
    return after.state in ("active", "waiting") and before.state != "idle"


def _request(request: Mapping[str, Any] | None) -> Step:
    if request is None:
        return Step("request", "idle", "none yet", "shipway train MODEL")
    state: State = "active" if request["state"] == "requested" else "done"
    return Step("request", state, request["state"] if state == "active" else "taken", request["reason"] or "")


def _training(request: Mapping[str, Any] | None) -> Step:
    match request["state"] if request is not None else None:
        case "accepted":
            return Step("training", "waiting", "waits for its turn")
        case "training":
            assert request is not None
            done = figures.share(request["fraction"] or 0.0)
            return Step("training", "active", f"{request['stage'] or 'begins'}, {done}", request["message"] or "")
        case "failed":
            assert request is not None
            return Step("training", "failed", f"failed in {request['stage']}", request["message"] or "")
        case "trained":
            assert request is not None
            return Step("training", "done", f"gave version {request['version']}")
        case _:
            return Step("training", "idle", "nothing to do")


def _evaluation(newest: Mapping[str, Any] | None) -> Step:
    if newest is None:
        return Step("evaluation", "idle", "nothing to judge")
    number, gates = newest["version"], newest["gates"] or []
    passed = f"{sum(g['passed'] for g in gates)} of {len(gates)} gates passed" if gates else ""
    if newest["state"] == "trained":
        return Step("evaluation", "active", f"judges version {number}")
    if newest["state"] == "rejected":
        return Step("evaluation", "failed", f"version {number} rejected", passed)
    return Step("evaluation", "done", f"version {number} approved", passed)


def _rollout(newest: Mapping[str, Any] | None, rollout: Mapping[str, Any] | None) -> Step:
    if rollout is not None:
        share = f"{figures.share(rollout['share'])} of the traffic" if rollout["share"] else "no traffic yet"
        return Step("rollout", "active", f"version {rollout['version']}: {rollout['state']}", share)
    if newest is None:
        return Step("rollout", "idle", "nothing to release")
    number = newest["version"]
    match newest["state"]:
        case "approved":
            return Step("rollout", "waiting", f"version {number} waits", "for its turn, or for approval")
        case "rolled_back":
            return Step("rollout", "failed", f"version {number} rolled back", newest["reason"] or "")
        case "champion" | "last_good" | "standby":
            return Step("rollout", "done", f"version {number} released")
        case _:
            return Step("rollout", "idle", "nothing to release")


def _service(champion: int | None, rate: float | None) -> Step:
    if champion is None:
        return Step("service", "idle", "no version serves")
    if not rate:
        return Step("service", "done", f"version {champion}", "no predictions in the last minutes")
    return Step("service", "active", f"version {champion}", f"{figures.per_second(rate)} predictions")


def _monitoring(champion: int | None, open_alerts: int) -> Step:
    if open_alerts:
        return Step("monitoring", "failed", f"{open_alerts} open alert{'s' * (open_alerts > 1)}")
    if champion is None:
        return Step("monitoring", "idle", "nothing to watch")
    return Step("monitoring", "done", "as usual")

"""Holds a recorded history against what Shipway promises. Pure: a history in, violations out."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from shipway.contract import events as e
from shipway.contract.envelope import Envelope

Name = tuple[str, str, str]
P = TypeVar("P", bound=e.Payload)
RELEASE_ENDS = (e.ReleasePromoted, e.ReleaseRolledBack, e.ReleaseSuperseded)
RELEASE_BEGINS = (e.ReleaseProgressed, e.ModelReleased)
JUDGED = (e.ModelApproved, e.ModelRejected)
TRAINING_ENDS = (e.ModelApproved, e.ModelRejected, e.TrainingFailed)


@dataclass(frozen=True)
class Request:
    """A prediction request of one row: when it began and ended (seconds since 1970), and what came of it.

    ``status`` is 0 where no answer came; ``version`` and ``prediction_id`` are those of an answer.
    """

    begun: float
    ended: float
    status: int
    version: int | None = None
    prediction_id: str | None = None
    problem: str = ""


@dataclass(frozen=True)
class History:
    """All that was seen of one model. ``events`` in the order in which they were first heard, each once.

    ``logged`` says how often a record (prediction id, instance, outcome) is in the prediction log, each batch taken
    once, and ``filed`` how often it is in the Parquet history; ``usage`` is what the monitor says was answered, by
    version; ``dropped`` what the predictors count as dropped; ``champion`` who is champion by the monitor.
    """

    requests: Sequence[Request]
    events: Sequence[Envelope]
    logged: Mapping[Name, int] = field(default_factory=dict)
    filed: Mapping[Name, int] = field(default_factory=dict)
    usage: Mapping[int, int] = field(default_factory=dict)
    dropped: int = 0
    champion: int | None = None


@dataclass(frozen=True)
class Allowed:
    """What a fault may cost.

    ``unlogged``: predictions whose records died with a killed predictor, and ``uncounted``: records that a broker
    lost before the monitor read them. ``stale_s``: how long a version may answer after it was taken out of the
    desired state, as a gateway that is cut off goes on with what it knows.
    """

    unlogged: int = 0
    uncounted: int = 0
    stale_s: float = 30.0


@dataclass(frozen=True)
class Violation:
    """A promise that was broken. ``kind`` says which column of the table it counts for."""

    kind: str
    what: str


def check(history: History, allowed: Allowed) -> list[Violation]:
    """Every violation."""
    return [
        *trainings_end(history),
        *trained_once(history),
        *only_approved_answer(history),
        *only_wanted_answer(history, allowed.stale_s),
        *generations_grow(history),
        *releases_end(history),
        *every_answer_is_logged(history, allowed.unlogged),
        *counted_once(history, allowed.uncounted),
        *filed_once(history, allowed.uncounted),
        *monitor_knows(history),
    ]


def trainings_end(history: History) -> Iterator[Violation]:
    """Every acknowledged request ends, in one way."""
    ends: defaultdict[str, set[str]] = defaultdict(set)
    for event in history.events:
        if isinstance(event.payload, TRAINING_ENDS):
            ends[event.payload.request_id].add(event.payload.type)
    for accepted in _of(history, e.TrainingAccepted):
        found = ends[accepted.request_id]
        if not found:
            yield Violation("lost", f"training {accepted.request_id} was accepted and has no end")
        elif len(found) > 1:
            yield Violation("doubled", f"training {accepted.request_id} ended as {' and '.join(sorted(found))}")


def trained_once(history: History) -> Iterator[Violation]:
    """A request makes one version, and a version is judged once."""
    made = Counter(payload.request_id for payload in _of(history, e.TrainingCompleted))
    for request_id, times in made.items():
        if times > 1:
            yield Violation("doubled", f"training {request_id} was completed {times} times")
    judged = Counter(ev.payload.request_id for ev in history.events if isinstance(ev.payload, JUDGED))
    for request_id, times in judged.items():
        if times > 1:
            yield Violation("doubled", f"the version of training {request_id} was judged {times} times")


def only_approved_answer(history: History) -> Iterator[Violation]:
    """No version answers before its approval."""
    approved: dict[int, float] = {}
    for event in history.events:
        if isinstance(event.payload, e.ModelApproved):
            approved.setdefault(event.payload.version, event.time.timestamp())
    for version, first in _first_answers(history).items():
        if first.ended < approved.get(version, float("inf")):
            yield Violation("wrong version", f"version {version} answered, but was not approved by then")


def only_wanted_answer(history: History, stale_s: float) -> Iterator[Violation]:
    """No version answers that was taken out of the desired state more than ``stale_s`` before."""
    held: dict[int, float] = {}  # version -> until when it was in a desired state
    states = [event for event in history.events if isinstance(event.payload, e.DesiredState)]
    for event, following in zip(states, [*states[1:], None], strict=True):
        assert isinstance(event.payload, e.DesiredState)
        until = (following.time if following else event.time + timedelta(days=365)).timestamp()
        for version in event.payload.versions:
            held[version.version] = max(held.get(version.version, 0.0), until)
    last: dict[int, Request] = {}
    for request in _answered(history):
        assert request.version is not None
        last[request.version] = max(request, last.get(request.version, request), key=lambda r: r.begun)
    for number, request in last.items():
        if number not in held:
            yield Violation("wrong version", f"version {number} answered, but never was in a desired state")
        elif request.begun > held[number] + stale_s:
            yield Violation("wrong version", f"version {number} answered {request.begun - held[number]:.0f} s too late")


def generations_grow(history: History) -> Iterator[Violation]:
    """A generation never goes back, and says one thing only."""
    newest = 0
    said: dict[int, e.DesiredState] = {}
    for state in _of(history, e.DesiredState):
        if state.generation < newest:
            yield Violation("generation", f"generation {state.generation} came after {newest}")
        newest = max(newest, state.generation)
        if said.setdefault(state.generation, state) != state:
            yield Violation("generation", f"generation {state.generation} says two things")


def releases_end(history: History) -> Iterator[Violation]:
    """Every release that began ends, in one way."""
    began = {ev.payload.release_id for ev in history.events if isinstance(ev.payload, RELEASE_BEGINS)}
    ends = Counter(ev.payload.release_id for ev in history.events if isinstance(ev.payload, RELEASE_ENDS))
    for release_id in sorted(began):
        if ends[release_id] == 0:
            yield Violation("lost", f"release {release_id} began and has no end")
        elif ends[release_id] > 1:
            yield Violation("doubled", f"release {release_id} ended {ends[release_id]} times")


def every_answer_is_logged(history: History, allowed: int) -> Iterator[Violation]:
    """Every prediction that was answered is in the log, once of an instance, unless it was dropped or died with it."""
    missing = not_logged(history)
    if missing > history.dropped + allowed:
        dropped = f"{history.dropped} were dropped"
        yield Violation("unlogged", f"{missing} answered predictions are not in the log; {dropped}")
    if twice := sum(times > 1 for times in history.logged.values()):
        yield Violation("doubled", f"{twice} records are in the log more than once")


def not_logged(history: History) -> int:
    """How many answered predictions the log lacks."""
    logged = _scorers(history)
    return sum((request.prediction_id or "") not in logged for request in _answered(history))


def scored_twice(history: History) -> int:
    """How many predictions two instances have scored, as the first one's answer was late: both are in the log."""
    return sum(len(instances) > 1 for instances in _scorers(history).values())


def records(history: History) -> int:
    """How many records of answered predictions are in the log."""
    return sum(len(instances) for instances in _scorers(history).values())


def counted_once(history: History, allowed: int) -> Iterator[Violation]:
    """The monitor counts what is in the log, each record once."""
    if history.usage:
        counted, logged = sum(history.usage.values()), records(history)
        if counted + allowed < logged:
            yield Violation("unlogged", f"the monitor counts {counted} predictions of {logged} in the log")
        elif counted > logged:
            yield Violation("doubled", f"the monitor counts {counted} predictions, but {logged} are in the log")


def filed_once(history: History, allowed: int) -> Iterator[Violation]:
    """Every record of the log, of refused and failed requests too, is in the Parquet history once, and nothing else.

    A broker that loses its data may have given the monitor what nobody else had read by then: the answer proves it.
    """
    if (missing := len(history.logged.keys() - history.filed.keys())) > allowed:
        yield Violation("unlogged", f"{missing} records of {len(history.logged)} are not in the Parquet history")
    if twice := sum(times > 1 for times in history.filed.values()):
        yield Violation("doubled", f"{twice} records are in the Parquet history more than once")
    answered = {request.prediction_id for request in _answered(history)}
    if strange := sum(name[0] not in answered for name in history.filed.keys() - history.logged.keys()):
        yield Violation("doubled", f"{strange} records of the Parquet history are of no prediction that was sent")


def monitor_knows(history: History) -> Iterator[Violation]:
    """The monitor's champion is that of the newest desired state."""
    states = list(_of(history, e.DesiredState))
    champions = [version.version for version in states[-1].versions if version.role == "champion"] if states else []
    if history.champion is not None and champions and history.champion != champions[0]:
        yield Violation("view", "the monitor's champion is not the one that serves")


def _scorers(history: History) -> dict[str, set[str]]:
    """The instances that have put an answered prediction into the log, by its id. What is filed was in the log."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for prediction_id, instance, outcome in history.logged.keys() | history.filed.keys():
        if outcome == "answered":
            found[prediction_id].add(instance)
    return found


def _of(history: History, kind: type[P]) -> Iterator[P]:
    return (event.payload for event in history.events if isinstance(event.payload, kind))


def _answered(history: History) -> Iterator[Request]:
    return (request for request in history.requests if request.status == 200 and request.version is not None)


def _first_answers(history: History) -> dict[int, Request]:
    first: dict[int, Request] = {}
    for request in _answered(history):
        assert request.version is not None
        first[request.version] = min(request, first.get(request.version, request), key=lambda r: r.ended)
    return first

"""Retirement from end to end in a hostile world: the monitor names, the releaser lets go, and nothing between is sure.

The monitor's side is its own pure rules over rows in memory. What it says is late, doubled and out of order; what it
hears is late; instances lose versions, and people pin, unpin, retire and restore.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import get_args

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.releaser.tests.releasing import degraded, retiring
from shipway.contract import events as e
from shipway.contract.spec import Release as Spec
from shipway.monitor import retirement as naming
from shipway.monitor import views
from shipway.monitor.retirement import NEEDED, SERVED, Policy, ServedVersion
from shipway.monitor.standing import Told, standing, takes
from shipway.releaser import release as rules
from shipway.releaser.counts import Instance, Loaded
from shipway.releaser.state import Limits, Model, Order, Release, Version

START = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = Limits(drain=timedelta(seconds=2), standby=15)
POLICY = Policy(max_age=timedelta(seconds=100), unused_for=timedelta(seconds=50))
AT_ONCE = Spec(canary=[])
WIRES = st.sampled_from(["now", "now", "late", "twice"])
ACTIONS = st.sampled_from([a for a in get_args(e.OperatorAction) if a in ("pin", "unpin", "retire", "restore")])
ORDERED = (e.ReleaseProgressed, e.ReleasePromoted, e.ReleaseRolledBack)


@dataclass
class Row:
    """What the monitor knows of a version."""

    state: str | None = None
    changed_at: datetime | None = None
    promoted_at: datetime | None = None
    left_at: datetime | None = None
    last_used: datetime | None = None
    degraded: bool = False
    asked: bool = False


class Monitor:
    """The monitor's views in memory, changed by its own rules, as its store changes its tables."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.told: list[Told] = []
        self.champion: int | None = None
        self.generation = 0

    def row(self, version: int) -> Row:
        return self.rows.setdefault(version, Row())

    def hear(self, event: e.Event, at: datetime) -> None:
        change = views.version_change(event)
        if change is None:
            return
        newest = isinstance(event, ORDERED) and event.generation >= self.generation
        if isinstance(event, ORDERED):
            self.generation = max(self.generation, event.generation)
        row = self.row(change.version)
        if isinstance(event, e.ReleasePromoted | e.ReleaseRolledBack):
            self._stand(event, at)
        else:
            if newest:
                at = max(at, row.changed_at or at)
            if "retirement_asked_at" in change.columns:
                row.asked = False
            if views.may_become(row.state, row.changed_at, change, at):
                row.state, row.changed_at = change.state, at

    def _stand(self, event: e.ReleasePromoted | e.ReleaseRolledBack, at: datetime) -> None:
        if isinstance(event, e.ReleasePromoted):
            self.told.append(Told(event.generation, at, "promoted", event.version, event.previous_version))
        else:
            self.told.append(Told(event.generation, at, "rolled back", event.version, event.champion_version))
        found = standing(self.told)
        self.champion = found.champion
        for version, place in found.places.items():
            row = self.row(version)
            if takes(row.state, row.changed_at, place):
                row.state, row.changed_at = place.state, place.at
                row.left_at = place.left_at or row.left_at
                if place.promoted_at is not None:
                    row.promoted_at = min(row.promoted_at or place.promoted_at, place.promoted_at)

    def served(self) -> list[ServedVersion]:
        return [
            ServedVersion(n, r.state or "trained", r.promoted_at, r.left_at, r.last_used, r.degraded, r.asked)
            for n, r in sorted(self.rows.items())
            if r.promoted_at is not None
        ]


class Retirements(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.model = Model("flights")
        self.monitor = Monitor()
        self.lost: set[int] = set()
        self.unheard: list[tuple[e.Event, datetime]] = []
        self.wire: list[Callable[[], None]] = []
        self.orders = 0

    # --- the world ---

    @initialize(versions=st.integers(2, 5), apart=st.sampled_from([1, 60]), restored=st.booleans())
    def begin(self, versions: int, apart: int, restored: bool) -> None:
        """Begins with a history; ``restored``: the first version was retired by hand, came back, and is not pinned."""
        for _ in range(versions):
            self.release("now")
            self.wait(apart)
        for action in ("retire", "restore", "unpin") if restored else ():
            self.command(action, 1, "now")
            self.wait(3)

    def send(self, how: str, effect: Callable[[], None]) -> None:
        if how != "now":
            self.wire.append(effect)
        if how != "late":
            effect()

    @precondition(lambda self: self.wire)
    @rule(data=st.data(), again=st.booleans())
    def deliver(self, data: st.DataObject, again: bool) -> None:
        place = data.draw(st.integers(0, len(self.wire) - 1))
        (self.wire[place] if again else self.wire.pop(place))()
        self.look()

    @rule()
    def the_monitor_reads_on(self) -> None:
        self.hear()

    @rule(how=WIRES)
    def release(self, how: str = "now") -> None:
        """Another version is approved, and as every instance loads it at once, promoted."""
        number = max(self.model.versions, default=0) + 1
        if number > 12:
            return
        self.model = replace(
            self.model,
            versions={**self.model.versions, number: Version(number, f"{number:064x}")},
            releases={
                **self.model.releases,
                number: Release(f"flights-{number}", number, AT_ONCE, self.now),
            },
        )
        self.look(how)
        self.look(how)

    @rule(seconds=st.sampled_from([1, 3, 30, 60, 200]))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self.look()

    @precondition(lambda self: self.model.desired.held)
    @rule(data=st.data())
    def use(self, data: st.DataObject) -> None:
        """A version that is held is asked, by its number or by the traffic."""
        number = data.draw(st.sampled_from([n for n, _ in self.model.desired.held]))
        self.monitor.row(number).last_used = self.now

    @precondition(lambda self: self.model.desired.held)
    @rule(data=st.data(), lost=st.booleans())
    def lose_or_load(self, data: st.DataObject, lost: bool) -> None:
        """Instances lose a version, or have all that they are to hold again."""
        if lost:
            self.lost.add(data.draw(st.sampled_from([n for n, _ in self.model.desired.held])))
        else:
            self.lost.clear()
        self.look()

    @rule(how=WIRES)
    def degrade_the_champion(self, how: str) -> None:
        number = self.monitor.champion
        if number is not None and not self.monitor.row(number).degraded:
            self.monitor.row(number).degraded = True
            self.send(how, partial(self.flag, number, degraded, "loss"))
            self.look()

    @rule(action=ACTIONS, version=st.integers(1, 6), how=WIRES)
    def command(self, action: e.OperatorAction, version: int, how: str) -> None:
        self.orders += 1
        order = Order(f"c{self.orders}", action, version, "because", "ann")
        self.model = replace(self.model, orders=(*self.model.orders, order))
        self.look(how)

    @rule(how=WIRES)
    def the_monitor_looks(self, how: str = "now") -> None:
        seen = self.monitor.served()
        found = naming.to_retire(seen, POLICY, self.now)
        by_number = {v.version: v for v in seen}
        assert len({r.version for r in found}) == len(found)
        for retire in found:
            version = by_number[retire.version]
            failed = version.degraded and version.state == "last_good"
            assert failed or version.state not in NEEDED, "a version that is needed was named"
            assert not version.asked, "a version was named twice"
            if retire.policy == "age-and-unused":
                used = version.last_used
                assert used is None or self.now - used > POLICY.unused_for, "a version in use was named"
        if any(v.state == "champion" for v in seen):
            replaced = {v.version for v in seen if v.degraded and v.state in (*SERVED, "last_good") and not v.asked}
            assert replaced <= {r.version for r in found}, "what failed and was replaced stays"
        else:
            assert not found, "the last version of a model was named"
        for retire in found:
            self.monitor.row(retire.version).asked = True
            event = e.ModelRetired(model="flights", version=retire.version, policy=retire.policy, reason=retire.reason)
            self.send(how, partial(self.flag, retire.version, retiring, retire.policy))
            self.tell(event, how)
        self.look()

    # --- the releaser ---

    def flag(self, number: int, flagged: Callable[[Version, str], Version], why: str) -> None:
        version = flagged(self.model.versions[number], why)
        self.model = replace(self.model, versions={**self.model.versions, number: version})

    def tell(self, event: e.Event, how: str) -> None:
        """In order, as one model's events come from one partition, and each once, as the inbox sees to; but late."""
        self.now += timedelta(microseconds=1)  # no two events are of one moment
        self.unheard.append((event, self.now))
        if how != "late":
            self.hear()

    def hear(self) -> None:
        """The monitor reads on, to the end."""
        for event, at in self.unheard:
            self.monitor.hear(event, at)
        self.unheard.clear()

    def instances(self) -> list[Instance]:
        held = {n for n, _ in self.model.desired.held} - self.lost
        return [Instance("p", START, {n: Loaded(f"{n:064x}", "ready") for n in held})]

    def look(self, how: str = "now") -> None:
        before, instances = self.model, self.instances()
        decision = rules.decide(before, instances, self.now, LIMITS)
        self.model = after = decision.model
        held = {n for n, _ in after.desired.held}
        for number, version in before.versions.items():
            now = after.versions[number]
            if version.pinned is not None and now.pinned is not None:
                assert number in held, "a pinned version was let go"
            if now.role in ("leaving", "gone") and version.role in ("champion", "last_good", "standby"):
                assert now.retiring is not None, "a version went that nobody retired"
                assert after.champion is not None and after.champion.number in instances[0].loaded, (
                    "a version went, and nothing else is routable"
                )
                if version.role == "last_good" and version.degraded is None:
                    assert after.last_good is not None, "the last good one went, and nothing took its place"
        if before.champion is not None:
            assert after.champion is not None, "the champion went"
        assert after.last_good is None or after.last_good.degraded is None, "what failed would be gone back to"
        for event in decision.events:
            if isinstance(event, e.CommandAnswered) and event.done and event.action == "restore":
                assert event.version in held, "what is restored is not held"
                assert after.versions[event.version].retiring is None, "what is restored is to go again"
            self.tell(event, how)

    # --- what always holds ---

    @invariant()
    def what_is_gone_is_neither_held_nor_routed(self) -> None:
        held = {n for n, _ in self.model.desired.held}
        assert {v.number for v in self.model.with_role("gone")}.isdisjoint(held)
        assert {n for n, _ in self.model.desired.traffic} <= held

    @invariant()
    def a_retirement_that_waits_is_said_to_be(self) -> None:
        for version in self.model.versions.values():
            if version.retiring is not None and version.role in ("champion", "last_good", "standby"):
                assert version.deferred, "a retired version stays, and nobody was told why"

    def teardown(self) -> None:
        """Once all is heard and time has passed, what is old and unused is gone, and what is used or needed is not."""
        self.lost.clear()
        for effect in self.wire:
            effect()
        self.wire.clear()
        self.look()
        self.hear()
        used = [v.number for v in self.model.with_role("standby") if v.retiring is None and v.degraded is None][:1]
        for _ in range(6):
            for number in used:
                self.monitor.row(number).last_used = self.now
            self.the_monitor_looks()
            self.now += timedelta(seconds=40)
            self.look()
        needed = {v.number for v in self.model.versions.values() if v.pinned is not None}
        needed |= {v.number for v in (self.model.champion, self.model.last_good) if v is not None}
        held = {n for n, _ in self.model.desired.held}
        assert held <= needed | set(used), "what is old and unused is held for ever"
        assert needed | {n for n in used if self.kept(n)} <= held, "what is used or needed was let go"

    def kept(self, number: int) -> bool:
        """Whether the monitor has no reason against it but its age."""
        return not self.monitor.row(number).degraded

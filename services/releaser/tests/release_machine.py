"""The releaser's rules in a hostile world: what always holds is asserted after every step.

Instances come and go, events are late, doubled and out of order, presence is stale, and operators command what they
like.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import get_args

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.releaser.tests.releasing import degraded, retiring
from shipway.contract import events as e
from shipway.contract.spec import Release as Policy
from shipway.releaser import release as rules
from shipway.releaser.counts import Instance, Loaded
from shipway.releaser.state import ENDED, IN_PROGRESS, Hold, Limits, Model, Order, Release, Version

START = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = Limits(drain=timedelta(seconds=2), standby=2)
POLICIES = st.builds(
    Policy,
    min_instances=st.integers(1, 3),
    canary=st.sampled_from([[], [0.1], [0.1, 0.5], [0.25, 0.5, 0.75]]),
    step=st.sampled_from([timedelta(seconds=5), timedelta(seconds=30)]),
    min_requests=st.sampled_from([0, 1, 20]),
    max_error_share=st.sampled_from([0.0, 0.1]),
    loading_deadline=st.sampled_from([timedelta(seconds=10), timedelta(minutes=1)]),
    step_deadline=st.sampled_from([timedelta(seconds=20), timedelta(minutes=2)]),
    on_insufficient=st.sampled_from(["promote", "roll_back"]),
    bake=st.sampled_from([timedelta(0), timedelta(0), timedelta(seconds=10)]),
    hold_limit=st.sampled_from([timedelta(minutes=1), timedelta(hours=1)]),
    shadow=st.sampled_from([0.0, 0.0, 0.5]),
    shadow_for=st.sampled_from([timedelta(seconds=5), timedelta(seconds=30)]),
    max_distance=st.sampled_from([0.1, 0.5]),
    sticky=st.sampled_from(["", "header:X-Shipway-Key"]),
)
WIRES = st.sampled_from(["now", "now", "now", "late", "twice"])
ACTIONS = st.sampled_from(get_args(e.OperatorAction))
FORWARD = ("loading", "shadow", "canary", "active")


@dataclass
class Predictor:
    """A simulated instance: when its process started, what it reports of each version, and the one of its image."""

    started_at: datetime
    loaded: dict[int, Loaded] = field(default_factory=dict)
    image: int | None = None

    def wanted(self, model: Model) -> list[int]:
        """The versions that it is to hold, and can."""
        return [number for number, _ in model.desired.held if self.image in (None, number)]

    @property
    def only(self) -> frozenset[str] | None:
        """What it says that it can hold."""
        return None if self.image is None else frozenset({digest(self.image)})


class Releases(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.model = Model("flights")
        self.predictors: dict[str, Predictor] = {}
        self.approved: set[int] = set()
        self.events: list[e.Event] = []
        self.newest = 0
        self.routed_at: dict[int, datetime] = {}
        self.wire: list[Callable[[], None]] = []
        self.heard: list[Instance] = []
        self.cleared: set[int] = set()
        self.given: dict[str, e.OperatorAction] = {}
        self.taken: set[str] = set()

    # --- the world ---

    @initialize(
        names=st.sampled_from(["", "a", "abc"]),
        promoted=st.integers(0, 4),
        canary=POLICIES,
        commanded=st.sampled_from([None, "freeze", "hold", "pin"]),
        answered=st.sampled_from([0, 3, 30]),
        another=st.booleans(),
        old=st.booleans(),
        image=st.sampled_from([None, None, 1, 2]),
    )
    def begin(
        self,
        names: str,
        promoted: int,
        canary: Policy,
        commanded: e.OperatorAction | None,
        answered: int,
        another: bool,
        old: bool,
        image: int | None,
    ) -> None:
        """Begins with a history and a release half-way, so that the runs reach what needs them.

        ``another``: what instances hold of the newest version is another artifact. ``old``: the first one is retired.
        ``image``: one instance is of an image with that version.
        """
        self.predictors = {name: Predictor(self.now) for name in names}
        if image is not None:
            self.predictors["image"] = Predictor(self.now, image=image)
        for policy in [Policy(canary=[])] * promoted + [canary] if names else []:
            self.approve(policy, 1, "now", waits=False)
            if another and policy is canary:
                for predictor in (p for p in self.predictors.values() if p.image is None):
                    predictor.loaded[self.newest] = Loaded(digest(self.newest + 100), "ready")
                self.hear()
            else:
                self.load_all()
        if answered:
            self.answer(answered, 0)
        if commanded is not None:
            self.command(commanded, 1 if commanded == "pin" else None, "now")
        if old:
            self.flag(1, "now", retiring, "old")

    def send(self, how: str, effect: Callable[[], None]) -> None:
        """An event on its way: handled now, later, or now and once more later."""
        if how != "now":
            self.wire.append(effect)
        if how != "late":
            effect()
            self.look()

    @precondition(lambda self: self.wire)
    @rule(data=st.data(), again=st.booleans())
    def deliver(self, data: st.DataObject, again: bool) -> None:
        """What was late comes, in any order, and perhaps not for the last time."""
        place = data.draw(st.integers(0, len(self.wire) - 1))
        effect = self.wire[place] if again else self.wire.pop(place)
        effect()
        self.look()

    @rule(
        policy=POLICIES, jump=st.sampled_from([1, 1, 1, 2, -1]), how=WIRES, waits=st.sampled_from([False, False, True])
    )
    def approve(self, policy: Policy, jump: int, how: str, waits: bool) -> None:
        number = max(1, self.newest + jump)
        while number in self.approved:
            number += 1
        self.newest = max(self.newest, number)
        self.approved.add(number)
        if not waits:
            self.cleared.add(number)

        def effect() -> None:
            if number not in self.model.versions:
                hold = Hold("approval", "manual", self.now) if waits else None
                release = Release(f"flights-{number}", number, policy, self.now, hold=hold)
                self.model = replace(
                    self.model,
                    versions={**self.model.versions, number: Version(number, digest(number))},
                    releases={**self.model.releases, number: release},
                )

        self.send(how, effect)

    @rule(action=ACTIONS, version=st.none() | st.integers(1, 6), how=WIRES)
    def command(self, action: e.OperatorAction, version: int | None, how: str) -> None:
        order = Order(f"c{len(self.given)}", action, version, "because", "ann")
        self.given[order.id] = action

        def effect() -> None:
            if self.model.versions and order.id not in self.taken:
                self.taken.add(order.id)
                self.model = replace(self.model, orders=(*self.model.orders, order))

        self.send(how, effect)

    @rule()
    def spend(self) -> None:
        """An error budget of serving is gone; a person's resume, or the monitor's, lets releases go on."""
        if self.model.versions:
            self.model = replace(self.model, spent=Hold("budget", "too many failed", self.now))
        self.look()

    @rule(name=st.sampled_from("abc"), stale=st.booleans(), image=st.sampled_from([None, None, None, 1, 2, 3, 4]))
    def join_or_restart(self, name: str, stale: bool, image: int | None) -> None:
        self.predictors[name] = Predictor(self.now, image=image)
        self.hear(stale)

    @precondition(lambda self: self.predictors)
    @rule(data=st.data(), stale=st.booleans())
    def die(self, data: st.DataObject, stale: bool) -> None:
        del self.predictors[data.draw(st.sampled_from(sorted(self.predictors)))]
        self.hear(stale)

    @precondition(lambda self: self.predictors)
    @rule(outcome=st.sampled_from(["ready", "ready", "ready", "failed", "loading", "other digest"]), data=st.data())
    def load(self, outcome: str, data: st.DataObject) -> None:
        """One instance takes its next step towards the desired state."""
        predictor = self.predictors[data.draw(st.sampled_from(sorted(self.predictors)))]
        held = predictor.wanted(self.model)
        predictor.loaded = {n: v for n, v in predictor.loaded.items() if n in held}
        missing = sorted(n for n in held if n not in predictor.loaded or predictor.loaded[n].state == "loading")
        if missing:
            number = data.draw(st.sampled_from(missing))
            state = "ready" if outcome == "other digest" else outcome
            held_digest = digest(number + 100) if outcome == "other digest" else digest(number)
            predictor.loaded[number] = Loaded(held_digest, state, "broken" if state == "failed" else "")  # type: ignore[arg-type]
        self.hear()

    @rule()
    def load_all(self) -> None:
        for predictor in self.predictors.values():
            kept = {n: v for n, v in predictor.loaded.items() if v.digest == digest(n) and v.state == "ready"}
            predictor.loaded = {n: kept.get(n, Loaded(digest(n), "ready")) for n in predictor.wanted(self.model)}
        self.hear()

    @precondition(lambda self: self.predictors and self.model.desired.held)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        """A version is lost on every instance."""
        number = data.draw(st.sampled_from([number for number, _ in self.model.desired.held]))
        for predictor in self.predictors.values():
            predictor.loaded.pop(number, None)
        self.hear()

    @precondition(lambda self: self.model.desired.traffic)
    @rule(
        answered=st.integers(0, 50), errors=st.sampled_from([0, 0, 0, 1, 10]), distance=st.sampled_from([0, 0.05, 0.9])
    )
    def answer(self, answered: int, errors: int, distance: float = 0.0) -> None:
        shadow = self.model.desired.shadow
        for number, _ in (*self.model.desired.traffic, *([shadow] if shadow else [])):
            for predictor in self.predictors.values():
                held = predictor.loaded.get(number)
                if held is not None and held.state == "ready":
                    total, failed = held.answered + answered, held.errors + errors
                    predictor.loaded[number] = replace(held, answered=total, errors=failed)
                    if shadow is not None and number == shadow[0]:
                        compared, apart = held.compared + answered, held.distance + distance * answered
                        predictor.loaded[number] = replace(predictor.loaded[number], compared=compared, distance=apart)
        self.hear()

    @precondition(lambda self: self.model.champion is not None)
    @rule(how=WIRES)
    def degrade_the_champion(self, how: str) -> None:
        assert self.model.champion is not None
        self.flag(self.model.champion.number, how, degraded, "errors")

    @precondition(lambda self: self.approved)
    @rule(data=st.data(), how=WIRES)
    def degrade(self, data: st.DataObject, how: str) -> None:
        self.flag(data.draw(st.sampled_from(sorted(self.approved))), how, degraded, "errors")

    @precondition(lambda self: self.approved)
    @rule(data=st.data(), how=WIRES)
    def retire(self, data: st.DataObject, how: str) -> None:
        self.flag(data.draw(st.sampled_from(sorted(self.approved))), how, retiring, "old")

    @rule(seconds=st.sampled_from([0.1, 1, 5, 30, 120]))
    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.look()

    # --- the releaser ---

    def flag(self, number: int, how: str, flagged: Callable[[Version, str], Version], why: str) -> None:
        def effect() -> None:
            known = self.model.versions.get(number)
            if known is not None:  # else it is a dead letter
                self.model = replace(self.model, versions={**self.model.versions, number: flagged(known, why)})

        self.send(how, effect)

    def hear(self, stale: bool = False) -> None:
        """The releaser learns what instances hold; or does not, yet."""
        if not stale:
            known = sorted(self.predictors.items())
            self.heard = [Instance(name, p.started_at, dict(p.loaded), p.only) for name, p in known]
        self.look()

    def look(self) -> None:
        before, instances = self.model, self.heard
        decision = rules.decide(before, instances, self.now, LIMITS)
        after = decision.model
        if before.desired != after.desired:
            assert after.generation > before.generation, "what is held changed, and the generation did not grow"
        elif not decision.events:
            assert after.generation == before.generation
        else:
            assert after.generation >= before.generation
        if before.champion is not None:
            held = {number for number, _ in after.desired.held}
            assert after.champion is not None, "a champion was dropped"
            # One that failed is not kept as the last good one, and may go as it is succeeded: while its successor
            # baked, it drained.
            failed = before.champion.degraded is not None
            succeeded = after.champion.number != before.champion.number and ready(after.champion.number, instances)
            assert before.champion.number in held or (failed and succeeded), "a champion was dropped"
            if ready(before.champion.number, instances):
                assert ready(after.champion.number, instances), "there was a routable champion, and now there is none"
        for event in decision.events:
            if isinstance(event, e.ReleasePromoted):
                assert ready(event.version, instances), "what is ready nowhere was promoted"
                needed = before.releases[event.version].policy.min_instances
                assert sum(ready(event.version, [i]) for i in instances) >= needed, "promoted without its quorum"
                previous = before.versions.get(event.previous_version or 0)
                if previous is not None and previous.role == "champion" and not previous.degraded:
                    assert after.versions[previous.number].role == "last_good", "the champion before was not kept"
            if isinstance(event, e.ReleaseRolledBack) and event.champion_version is not None:
                kept = before.champion is not None and event.champion_version == before.champion.number
                assert kept or ready(event.champion_version, instances), "rolled back to what is ready nowhere"
            assert getattr(event, "generation", before.generation) >= before.generation
        for number, version in before.versions.items():
            goes = version.role == "last_good" and after.versions[number].role in ("leaving", "gone")
            if goes and version.degraded is None:
                assert after.last_good is not None, "the last good one went, and nothing took its place"
        self.routed_at |= {number: self.now for number, _ in (*before.desired.traffic, *after.desired.traffic)}
        self.events += decision.events
        self.model = after
        self.holds_to_what_operators_said(before, decision)
        again = rules.decide(after, instances, self.now, LIMITS)
        assert again.model == after and not again.events, "deciding again must change nothing"

    def holds_to_what_operators_said(self, before: Model, decision: rules.Decision) -> None:
        answers = [x for x in decision.events if isinstance(x, e.CommandAnswered)]
        assert [x.command_id for x in answers] == [o.id for o in before.orders], "each order is answered, once, in turn"
        assert not decision.model.orders
        for answer in answers:
            if answer.action == "approve" and answer.done:
                self.cleared |= set(self.model.versions)
        forward = [x for x in decision.events if isinstance(x, e.ReleaseProgressed) and x.to_state in FORWARD]
        if before.frozen is not None and not any(x.done and x.action == "unfreeze" for x in answers):
            assert not forward, "a frozen model's release went on"
        sound = before.champion is not None and before.champion.degraded is None
        sound = sound and decision.model.champion == before.champion
        if before.spent is not None and sound and not answers:
            assert not forward, "a release went on, though an error budget is spent"
        if not answers:
            held = {r.version for r in before.releases.values() if r.hold is not None}
            assert not {x.version for x in forward} & held, "a release on hold went on"
            pinned = {n for n, v in before.versions.items() if v.pinned is not None}
            assert pinned <= {n for n, _ in decision.model.desired.held}, "a pinned version was let go"
        if len(answers) == 1 and not answers[0].done:
            assert decision.model.frozen == before.frozen

    # --- what always holds ---

    @invariant()
    def nothing_is_routed_that_nobody_approved(self) -> None:
        assert {number for number, _ in self.model.desired.traffic} <= self.cleared, "nobody approved what is routed"

    @invariant()
    def evidence_is_never_negative(self) -> None:
        for release in self.model.releases.values():
            assert min(release.evidence.answered, release.evidence.errors) >= 0, "less than nothing was answered"

    @invariant()
    def nobody_waits_for_an_instance_of_an_image_with_another_version(self) -> None:
        release = self.model.in_progress
        if release is None or release.state != "loading" or release.hold is not None or self.model.stopped is not None:
            return
        able = [i for i in self.heard if i.only is None or digest(release.version) in i.only]
        done = sum(ready(release.version, [i]) for i in able)
        assert done < max(len(able), release.policy.min_instances), "ready wherever it can be, and it does not go on"

    @invariant()
    def a_shadow_answers_nobody(self) -> None:
        traffic, shadow = dict(self.model.desired.traffic), self.model.desired.shadow
        release = self.model.in_progress
        shadows = release is not None and release.state == "shadow"
        assert shadows == (shadow is not None), "a shadow gets its copies, and nothing else does"
        if shadow is not None:
            assert shadow[0] not in traffic, "a shadow's answers go to somebody"
            assert shadow[0] in self.cleared, "nobody approved the shadow"
            assert dict(self.model.desired.held)[shadow[0]] == "candidate"
            assert self.model.champion is not None, "a shadow of nobody"
        assert self.model.desired.sticky == "" or len(traffic) > 1

    @invariant()
    def shares_sum_to_one(self) -> None:
        traffic, held = dict(self.model.desired.traffic), dict(self.model.desired.held)
        if self.model.champion is None:
            assert traffic == {}
        else:
            assert abs(sum(traffic.values()) - 1) < 1e-9, "the shares do not add up to one"
            assert all(share > 0 for share in traffic.values())
        assert {held[number] for number in traffic} <= {"champion", "candidate"}

    @invariant()
    def what_had_traffic_is_held_until_it_has_drained(self) -> None:
        held = {number for number, _ in self.model.desired.held}
        draining = {n for n, routed in self.routed_at.items() if self.now < routed + LIMITS.drain}
        assert draining <= held, "what still has requests is held no more"

    @invariant()
    def only_approved_versions_are_held(self) -> None:
        held = [number for number, _ in self.model.desired.held]
        assert set(held) <= self.approved
        assert len(held) == len(set(held))
        roles = [role for _, role in self.model.desired.held]
        assert max((roles.count(r) for r in ("champion", "candidate", "last_good")), default=0) <= 1
        assert len([v for v in self.model.with_role("standby") if v.pinned is None]) <= LIMITS.standby

    @invariant()
    def at_most_one_release_is_in_progress(self) -> None:
        assert sum(r.state in IN_PROGRESS for r in self.model.releases.values()) <= 1, "two releases at once"

    @invariant()
    def retired_versions_are_held_only_with_a_reason(self) -> None:
        for number, _ in self.model.desired.held:
            version = self.model.versions[number]
            if version.retiring is not None and version.role != "leaving":
                told = any(isinstance(x, e.RetirementDeferred) and x.version == number for x in self.events)
                assert told, "a retired version is held, and nobody was told why"
        for number, _ in self.model.desired.traffic:
            role = self.model.versions[number].role
            assert role in ("champion", "candidate"), "what is neither champion nor candidate is routed"

    @invariant()
    def what_is_said_agrees_with_what_is(self) -> None:
        said = {x.version: x.to_state for x in self.events if isinstance(x, e.ReleaseProgressed)}
        for release in self.model.releases.values():
            assert said.get(release.version, "approved") == release.state, "a state that nobody was told of"
        deferred = [x.version for x in self.events if isinstance(x, e.RetirementDeferred)]
        restored = [x.version for x in self.events if isinstance(x, e.CommandAnswered) and x.action == "restore"]
        assert len(deferred) <= len(set(deferred)) + len(restored), "a deferral is said once"
        champions = [
            x.version if isinstance(x, e.ReleasePromoted) else x.champion_version
            for x in self.events
            if isinstance(x, e.ReleasePromoted | e.ReleaseRolledBack)
        ]
        champion = self.model.champion.number if self.model.champion else None
        assert champion == (champions[-1] if champions else None), "a champion that nobody was told of"

    def teardown(self) -> None:
        """Left alone and not frozen, every release reaches an end within the sum of the deadlines."""
        for effect in self.wire:
            effect()
        self.hear()
        if self.model.frozen is not None:
            thaw = Order("thaw", "unfreeze", None, "", "ann")
            self.model = replace(self.model, orders=(*self.model.orders, thaw))
        if self.model.spent is not None:
            self.model = replace(self.model, orders=(*self.model.orders, Order("back", "resume", None, "", "monitor")))
        self.hear()
        allowed = timedelta(seconds=1)
        for release in self.model.releases.values():
            if release.state not in ENDED:
                policy = release.policy
                per_step = max(policy.step, policy.bake, policy.step_deadline)
                allowed += policy.loading_deadline + (len(policy.canary) + 1) * per_step
                allowed += max(policy.shadow_for, policy.step_deadline)
                allowed += policy.hold_limit if release.hold is not None else timedelta(0)
        until = self.now + allowed
        while self.now < until:
            self.now += max(timedelta(seconds=5), allowed / 200)
            self.look()
        assert all(r.state in ENDED for r in self.model.releases.values()), "a release never ends"
        self.now += LIMITS.drain
        self.look()
        assert not self.model.with_role("leaving"), "what leaves is gone in the end"


def digest(number: int) -> str:
    return f"{number:064x}"


def ready(number: int, instances: list[Instance]) -> bool:
    return any(
        (held := i.loaded.get(number)) is not None and held.state == "ready" and held.digest == digest(number)
        for i in instances
    )

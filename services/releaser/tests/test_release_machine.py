"""Whatever instances do and whatever is approved, degraded or retired, in whatever order: what always holds."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shipway.contract import events as e
from shipway.contract.spec import Release as Policy
from shipway.releaser.release import decide
from shipway.releaser.state import ENDED, IN_PROGRESS, Instance, Limits, Loaded, Model, Release, Version

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
)


@dataclass
class Predictor:
    """A simulated instance: when its process started, and what it reports of each version."""

    started_at: datetime
    loaded: dict[int, Loaded] = field(default_factory=dict)


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

    # --- the world ---

    @initialize(names=st.sampled_from(["", "a", "abc"]), promoted=st.integers(0, 4), canary=POLICIES)
    def begin(self, names: str, promoted: int, canary: Policy) -> None:
        """Begins with a history and a release half-way, so that the runs reach what needs them."""
        self.predictors = {name: Predictor(self.now) for name in names}
        for policy in [Policy(canary=[])] * promoted + [canary] if names else []:
            self.approve(policy, 1)
            self.load_all()

    @rule(policy=POLICIES, jump=st.sampled_from([1, 1, 1, 2, -1]))
    def approve(self, policy: Policy, jump: int) -> None:
        number = max(1, self.newest + jump)
        while number in self.approved:
            number += 1
        self.newest = max(self.newest, number)
        self.approved.add(number)
        self.model = replace(
            self.model,
            versions={**self.model.versions, number: Version(number, digest(number))},
            releases={**self.model.releases, number: Release(f"flights-{number}", number, policy, self.now)},
        )
        self.look()

    @rule(name=st.sampled_from("abc"))
    def join_or_restart(self, name: str) -> None:
        self.predictors[name] = Predictor(self.now)
        self.look()

    @precondition(lambda self: self.predictors)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        del self.predictors[data.draw(st.sampled_from(sorted(self.predictors)))]
        self.look()

    @precondition(lambda self: self.predictors)
    @rule(outcome=st.sampled_from(["ready", "ready", "ready", "failed", "loading", "other digest"]), data=st.data())
    def load(self, outcome: str, data: st.DataObject) -> None:
        """One instance takes its next step towards the desired state."""
        predictor = self.predictors[data.draw(st.sampled_from(sorted(self.predictors)))]
        held = {number for number, _ in self.model.desired.held}
        predictor.loaded = {n: v for n, v in predictor.loaded.items() if n in held}
        missing = sorted(n for n in held if n not in predictor.loaded or predictor.loaded[n].state == "loading")
        if missing:
            number = data.draw(st.sampled_from(missing))
            state = "ready" if outcome == "other digest" else outcome
            held_digest = digest(number + 100) if outcome == "other digest" else digest(number)
            predictor.loaded[number] = Loaded(held_digest, state, "broken" if state == "failed" else "")  # type: ignore[arg-type]
        self.look()

    @rule()
    def load_all(self) -> None:
        for predictor in self.predictors.values():
            kept = {n: v for n, v in predictor.loaded.items() if v.digest == digest(n) and v.state == "ready"}
            predictor.loaded = {n: kept.get(n, Loaded(digest(n), "ready")) for n, _ in self.model.desired.held}
        self.look()

    @precondition(lambda self: self.predictors and self.model.desired.held)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        """A version is lost on every instance."""
        number = data.draw(st.sampled_from([number for number, _ in self.model.desired.held]))
        for predictor in self.predictors.values():
            predictor.loaded.pop(number, None)
        self.look()

    @precondition(lambda self: self.model.desired.traffic)
    @rule(answered=st.integers(0, 50), errors=st.sampled_from([0, 0, 0, 1, 10]))
    def answer(self, answered: int, errors: int) -> None:
        for number, _ in self.model.desired.traffic:
            for predictor in self.predictors.values():
                held = predictor.loaded.get(number)
                if held is not None and held.state == "ready":
                    total, failed = held.answered + answered, held.errors + errors
                    predictor.loaded[number] = replace(held, answered=total, errors=failed)
        self.look()

    @precondition(lambda self: self.model.champion is not None)
    @rule()
    def degrade_the_champion(self) -> None:
        assert self.model.champion is not None
        self.flag(self.model.champion.number, degraded="errors")

    @precondition(lambda self: self.approved)
    @rule(data=st.data())
    def degrade(self, data: st.DataObject) -> None:
        self.flag(data.draw(st.sampled_from(sorted(self.approved))), degraded="errors")

    @precondition(lambda self: self.approved)
    @rule(data=st.data())
    def retire(self, data: st.DataObject) -> None:
        self.flag(data.draw(st.sampled_from(sorted(self.approved))), retiring="old")

    @rule(seconds=st.sampled_from([0.1, 1, 5, 30, 120]))
    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.look()

    # --- the releaser ---

    def flag(self, number: int, **reason: str) -> None:
        version = replace(self.model.versions[number], **reason)  # type: ignore[arg-type]
        self.model = replace(self.model, versions={**self.model.versions, number: version})
        self.look()

    def instances(self) -> list[Instance]:
        return [Instance(name, p.started_at, dict(p.loaded)) for name, p in sorted(self.predictors.items())]

    def look(self) -> None:
        before, instances = self.model, self.instances()
        decision = decide(before, instances, self.now, LIMITS)
        after = decision.model
        if before.desired != after.desired:
            assert after.generation > before.generation
        elif not decision.events:
            assert after.generation == before.generation
        else:
            assert after.generation >= before.generation
        if before.champion is not None:
            held = {number for number, _ in after.desired.held}
            assert before.champion.number in held, "a champion was dropped"
            assert after.champion is not None
            if ready(before.champion.number, instances):
                assert ready(after.champion.number, instances), "there was a routable champion, and now there is none"
        for event in decision.events:
            if isinstance(event, e.ReleasePromoted):
                assert ready(event.version, instances), "what is ready nowhere was promoted"
            if isinstance(event, e.ReleaseRolledBack) and event.champion_version is not None:
                kept = before.champion is not None and event.champion_version == before.champion.number
                assert kept or ready(event.champion_version, instances), "rolled back to what is ready nowhere"
            assert getattr(event, "generation", before.generation) >= before.generation
        for number, version in before.versions.items():
            goes = version.role == "last_good" and after.versions[number].role in ("leaving", "gone")
            if goes and version.degraded is None:
                assert after.champion is not None
                assert ready(after.champion.number, instances), "the last good one went, and nothing else is routable"
        self.routed_at |= {number: self.now for number, _ in (*before.desired.traffic, *after.desired.traffic)}
        self.events += decision.events
        self.model = after
        again = decide(after, instances, self.now, LIMITS)
        assert again.model == after and not again.events, "deciding again must change nothing"

    # --- what always holds ---

    @invariant()
    def shares_sum_to_one(self) -> None:
        traffic, held = dict(self.model.desired.traffic), dict(self.model.desired.held)
        if self.model.champion is None:
            assert traffic == {}
        else:
            assert abs(sum(traffic.values()) - 1) < 1e-9
            assert all(share > 0 for share in traffic.values())
        assert {held[number] for number in traffic} <= {"champion", "candidate"}

    @invariant()
    def what_had_traffic_is_held_until_it_has_drained(self) -> None:
        held = {number for number, _ in self.model.desired.held}
        assert {n for n, routed in self.routed_at.items() if self.now < routed + LIMITS.drain} <= held

    @invariant()
    def only_approved_versions_are_held(self) -> None:
        held = [number for number, _ in self.model.desired.held]
        assert set(held) <= self.approved
        assert len(held) == len(set(held))
        roles = [role for _, role in self.model.desired.held]
        assert max((roles.count(r) for r in ("champion", "candidate", "last_good")), default=0) <= 1
        assert len(self.model.with_role("standby")) <= LIMITS.standby

    @invariant()
    def at_most_one_release_is_in_progress(self) -> None:
        assert sum(r.state in IN_PROGRESS for r in self.model.releases.values()) <= 1

    @invariant()
    def retired_versions_are_held_only_with_a_reason(self) -> None:
        for number, _ in self.model.desired.held:
            version = self.model.versions[number]
            if version.retiring is not None and version.role != "leaving":
                assert any(isinstance(x, e.RetirementDeferred) and x.version == number for x in self.events)
        for number, _ in self.model.desired.traffic:
            assert self.model.versions[number].role in ("champion", "candidate")

    @invariant()
    def what_is_said_agrees_with_what_is(self) -> None:
        said = {x.version: x.to_state for x in self.events if isinstance(x, e.ReleaseProgressed)}
        for release in self.model.releases.values():
            assert said.get(release.version, "approved") == release.state
        deferred = [x.version for x in self.events if isinstance(x, e.RetirementDeferred)]
        assert len(deferred) == len(set(deferred)), "a deferral is said once"
        champions = [
            x.version if isinstance(x, e.ReleasePromoted) else x.champion_version
            for x in self.events
            if isinstance(x, e.ReleasePromoted | e.ReleaseRolledBack)
        ]
        assert (self.model.champion.number if self.model.champion else None) == (champions[-1] if champions else None)

    def teardown(self) -> None:
        """Left alone, every release reaches an end within the sum of the deadlines."""
        allowed = timedelta(seconds=1)
        for release in self.model.releases.values():
            if release.state not in ENDED:
                policy = release.policy
                per_step = max(policy.step, policy.step_deadline)
                allowed += policy.loading_deadline + len(policy.canary) * per_step
        until = self.now + allowed
        while self.now < until:
            self.now += timedelta(seconds=5)
            self.look()
        assert all(r.state in ENDED for r in self.model.releases.values())
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


Releases.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestReleases = Releases.TestCase

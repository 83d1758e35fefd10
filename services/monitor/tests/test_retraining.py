"""When what was found asks for a training: never a storm, whatever comes in whatever order."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shipway.monitor.retraining import Ask, Attempt, Cause, Rule, Situation, Wait, decide, finding

T0 = datetime(2026, 1, 1, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
RULE = Rule(frozenset({"drift", "quality"}), DAY, 3, 7 * DAY, 3)


def cause(episode: str = "a", kind: str = "drift", subject: str = "n", version: int = 1, since: datetime = T0) -> Cause:
    return Cause(episode, version, kind, subject, "30 % lie elsewhere", since)


def at(*causes: Cause, attempts: tuple[Attempt, ...] = (), busy: str = "", since: datetime | None = T0) -> Situation:
    return Situation("m", 1, since, causes, attempts, busy)


def failed(day: int, episode: str = "a", version: int = 1) -> Attempt:
    return Attempt(episode, version, T0 + day * DAY, "failed")


def test_the_oldest_alert_of_the_champion_is_the_episode_and_all_are_the_reason() -> None:
    asked = decide(
        RULE, at(cause("b", since=T0 + HOUR, subject="size"), cause("a"), cause("c", "quality", "")), T0 + DAY
    )
    assert isinstance(asked, Ask)
    assert asked.request_id == "retrain-m-a-1"
    assert asked.reason == "drift n of version 1: 30 % lie elsewhere; also drift size, quality"


@pytest.mark.parametrize(
    "situation",
    [
        at(),
        at(cause(version=2)),
        at(cause(kind="errors")),
        at(cause(subject="score")),
        replace(at(cause()), champion=None),
    ],
)
def test_what_the_model_file_does_not_name_asks_for_nothing(situation: Situation) -> None:
    assert decide(RULE, situation, T0 + 9 * DAY) is None


def test_drift_of_the_score_is_a_trigger_of_its_own() -> None:
    on_score = replace(RULE, on=frozenset({"score_drift"}))
    assert isinstance(decide(on_score, at(cause(subject="score")), T0 + DAY), Ask)
    assert decide(on_score, at(cause()), T0 + DAY) is None


@pytest.mark.parametrize(
    ("situation", "words"),
    [
        (at(cause(), busy="version 2 is being judged or released"), "version 2 is being judged"),
        (at(cause(), attempts=(replace(failed(0), outcome="open"),), since=None), "is under way"),
        (at(cause(), since=T0 + 9 * DAY), "cools down until 2026-01-11"),
        (at(cause(), attempts=(failed(9, "z", 0),)), "cools down until 2026-01-11"),
        (at(cause(), attempts=(failed(5, "x", 0), failed(6, "y", 0), failed(7, "z", 0))), "all of its budget"),
    ],
)
def test_it_waits_and_says_why(situation: Situation, words: str) -> None:
    waits = decide(RULE, situation, T0 + 9 * DAY + HOUR)
    assert isinstance(waits, Wait) and words in waits.reason and not waits.given_up


def test_after_so_many_failures_in_a_row_it_is_given_up_with_an_alert_until_there_is_another_champion() -> None:
    attempts = (failed(1), failed(10, "b"), failed(20, "c"))
    given_up = decide(RULE, at(cause("d"), attempts=attempts), T0 + 40 * DAY)
    assert isinstance(given_up, Wait) and given_up.given_up
    alert = finding(given_up)
    assert (alert.kind, alert.alarm, alert.version) == ("retraining", True, 0)
    assert "3 trainings in a row" in alert.reason
    another = replace(at(cause("d", version=2), attempts=attempts), champion=2)
    assert isinstance(decide(RULE, another, T0 + 40 * DAY), Ask)
    assert not finding(None).alarm


def test_a_second_attempt_at_an_alert_is_a_request_of_its_own() -> None:
    asked = decide(RULE, at(cause(), attempts=(failed(1),)), T0 + 5 * DAY)
    assert isinstance(asked, Ask) and asked.request_id == "retrain-m-a-2"


class Machine(RuleBasedStateMachine):
    """A model's life: alerts come and go, trainings end well or not, people train too, monitors look doubly."""

    @initialize(
        cool_down=st.integers(1, 48), budget=st.integers(1, 4), period=st.integers(1, 100), give_up=st.integers(1, 4)
    )
    def begin(self, cool_down: int, budget: int, period: int, give_up: int) -> None:
        self.rule = Rule(frozenset({"drift"}), cool_down * HOUR, budget, period * HOUR, give_up)
        self.now, self.champion, self.since = T0, 1, T0
        self.causes: dict[str, Cause] = {}
        self.attempts: list[Attempt] = []
        self.asked: list[Ask] = []
        self.busy = False
        self.episodes = 0

    def situation(self) -> Situation:
        busy = "somebody's training" if self.busy else ""
        return Situation("m", self.champion, self.since, tuple(self.causes.values()), tuple(self.attempts), busy)

    @rule(hours=st.integers(1, 60))
    def time_passes(self, hours: int) -> None:
        self.now += hours * HOUR

    @rule(old=st.booleans())
    def an_alert_is_raised(self, old: bool) -> None:
        self.episodes += 1
        version = self.champion - old
        self.causes[str(self.episodes)] = cause(str(self.episodes), version=version, since=self.now)

    @precondition(lambda self: self.causes)
    @rule(data=st.data())
    def an_alert_ends(self, data: st.DataObject) -> None:
        del self.causes[data.draw(st.sampled_from(sorted(self.causes)))]

    @rule()
    def somebody_trains(self) -> None:
        self.busy = True

    @precondition(lambda self: self.busy)
    @rule(served=st.booleans())
    def somebody_is_done(self, served: bool) -> None:
        self.busy = False
        if served:
            self.champion, self.since = self.champion + 1, self.now

    @rule()
    def a_look(self) -> None:
        found = decide(self.rule, self.situation(), self.now)
        assert found == decide(self.rule, self.situation(), self.now), "two monitors decide alike"
        if isinstance(found, Ask):
            assert not self.busy and all(a.outcome != "open" for a in self.attempts)
            assert found.cause.version == self.champion
            assert found.request_id not in {ask.request_id for ask in self.asked}
            self.asked.append(found)
            self.attempts.append(Attempt(found.cause.episode, self.champion, self.now, "open"))

    @precondition(lambda self: any(a.outcome == "open" for a in self.attempts))
    @rule(served=st.booleans())
    def what_was_asked_for_ends(self, served: bool) -> None:
        self.attempts[-1] = replace(self.attempts[-1], outcome="served" if served else "failed")
        if served:
            self.champion, self.since = self.champion + 1, self.now

    @invariant()
    def never_a_storm(self) -> None:
        times = [attempt.asked_at for attempt in getattr(self, "attempts", [])]
        for before, after in pairwise(times):
            assert after - before >= self.rule.cool_down
        for n, moment in enumerate(times):
            within = [t for t in times[: n + 1] if t > moment - self.rule.budget_period]
            assert len(within) <= self.rule.budget
        row = 0
        for before, attempt in zip([None, *getattr(self, "attempts", [])], getattr(self, "attempts", []), strict=False):
            same = before is not None and before.version == attempt.version and before.outcome == "failed"
            row = row + 1 if same else 1
            assert row <= self.rule.give_up_after


Machine.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestNoStorm = Machine.TestCase

"""The job's state machine, for all jobs and endings."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from shipway.trainer.training import (
    OVER,
    Ending,
    Job,
    ProgressFilter,
    after,
    next_job,
    unattended,
)

T0 = datetime(2026, 1, 1, tzinfo=UTC)
SOME_S = st.integers(-100, 100).map(lambda s: T0 + timedelta(seconds=s))
JOBS = st.builds(
    Job,
    request_id=st.uuids().map(str),
    model=st.sampled_from(["a", "b", "c"]),
    state=st.sampled_from(["queued", "running"]),
    attempts=st.integers(1, 5),
    max_attempts=st.integers(1, 5),
    created_at=SOME_S,
    not_before=SOME_S,
    lease_until=SOME_S,
    declared=st.booleans(),
    cancelled_by=st.none() | st.just("ann"),
)
KINDS = ["refused", "unavailable", "crashed", "timed_out", "lease_expired", "stopped", "cancelled"]
ENDINGS = st.builds(Ending, kind=st.sampled_from(KINDS), reason=st.just("because"))


def job(**changes: object) -> Job:
    values: dict[str, object] = {
        "request_id": "r",
        "model": "m",
        "state": "running",
        "attempts": 1,
        "max_attempts": 3,
        "created_at": T0,
        "not_before": T0,
    }
    return Job(**(values | changes))  # type: ignore[arg-type]


@given(jobs=st.lists(JOBS, max_size=12), data=st.data())
def test_a_held_request_is_never_next(jobs: list[Job], data: st.DataObject) -> None:
    held = data.draw(st.sets(st.sampled_from([j.request_id for j in jobs])) if jobs else st.just(set()))
    chosen = next_job(jobs, T0, held)
    assert chosen is None or chosen.request_id not in held


@given(jobs=st.lists(JOBS, max_size=12))
def test_a_model_trains_one_job_at_a_time_and_the_oldest_first(jobs: list[Job]) -> None:
    chosen = next_job(jobs, T0)
    ready = [
        j
        for j in jobs
        if (j.state, j.declared) == ("queued", True)
        and j.not_before <= T0
        and not any(o.model == j.model and o.state == "running" for o in jobs)
    ]
    if chosen is None:
        assert not ready
    else:
        assert chosen in ready
        assert all(chosen.created_at <= other.created_at for other in ready)


@given(jobs=st.lists(JOBS, max_size=8), ending=ENDINGS)
def test_every_job_is_over_after_a_bounded_number_of_crashes(jobs: list[Job], ending: Ending) -> None:
    """Whatever happens in between: attempts that count only grow, and at max_attempts it is over."""
    for current in jobs:
        step = after(current, ending)
        assert step.state in OVER | {"queued"}
        assert step.rest <= timedelta(minutes=1)
        blamed = ending.kind in ("crashed", "lease_expired")
        if blamed and current.attempts >= current.max_attempts:
            assert step.state in OVER
        if blamed and step.state == "queued":
            assert step.attempts == current.attempts < current.max_attempts
        if ending.kind in ("unavailable", "stopped") and current.cancelled_by is None:
            assert (step.state, step.attempts) == ("queued", current.attempts - 1)
        if current.cancelled_by is not None:
            assert step.state == "cancelled"


def test_what_fails_the_same_way_for_ever_is_not_tried_again() -> None:
    assert after(job(), Ending("refused", "no such column")).state == "failed"
    assert after(job(), Ending("timed_out", "took longer than 5 s")).state == "failed"


def test_the_last_crash_says_how_often_it_was_tried() -> None:
    step = after(job(attempts=3), Ending("crashed", "the process was ended by SIGSEGV"))
    assert (step.state, step.reason) == ("failed", "gave up after 3 attempts: the process was ended by SIGSEGV")


def test_pauses_between_attempts_grow() -> None:
    pauses = [after(job(attempts=n, max_attempts=20), Ending("crashed", "x")).rest for n in range(1, 9)]
    assert pauses == sorted(pauses)
    assert pauses[0] < pauses[3]


def test_a_request_waits_a_little_for_its_model_to_be_declared() -> None:
    early = job(state="queued", declared=False)
    grace = timedelta(seconds=5)
    assert unattended(early, T0 + timedelta(seconds=4), grace) is None
    step = unattended(early, T0 + timedelta(seconds=5), grace)
    assert step is not None
    assert step.state == "failed"
    assert "run: shipway model declare FILE.toml" in step.reason
    assert unattended(job(state="queued"), T0 + timedelta(days=1), grace) is None


def test_a_running_job_goes_back_to_the_queue_when_its_lease_ran_out() -> None:
    later = T0 + timedelta(seconds=1)
    grace = timedelta(0)
    assert unattended(job(lease_until=T0), T0, grace) is None
    step = unattended(job(lease_until=T0), later, grace)
    assert step is not None
    assert (step.state, step.attempts) == ("queued", 1)
    last = unattended(job(lease_until=T0, attempts=3), later, grace)
    assert last is not None
    assert last.state == "failed"


def test_a_queued_job_is_cancelled_at_once() -> None:
    step = unattended(job(state="queued", cancelled_by="ann"), T0, timedelta(0))
    assert step is not None
    assert (step.state, step.reason) == ("cancelled", "cancelled by ann")


@given(steps=st.lists(st.tuples(st.floats(0, 0.3), st.sampled_from("ab")), max_size=50))
def test_progress_is_told_at_each_stage_and_at_most_twice_a_second(steps: list[tuple[float, str]]) -> None:
    progress, now, told = ProgressFilter(), 0.0, []
    previous = None
    for pause, stage in steps:
        now += pause
        admitted = progress.admits(now, stage)
        assert admitted or stage == previous
        if admitted:
            told.append((now, stage))
        previous = stage
    for (t1, s1), (t2, s2) in pairwise(told):
        assert s1 != s2 or t2 - t1 >= 0.5

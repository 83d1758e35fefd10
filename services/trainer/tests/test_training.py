"""The decisions on jobs and stages, for all jobs and endings; how a whole life of them goes: test_lives."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from shipway.contract.spec import STAGES
from shipway.trainer.training import OVER, Ending, Job, ProgressFilter, Stage, after, next_task, unattended

T0 = datetime(2026, 1, 1, tzinfo=UTC)
SOME_S = st.integers(-100, 100).map(lambda s: T0 + timedelta(seconds=s))
KINDS = ["refused", "unavailable", "lost", "crashed", "timed_out", "late", "lease_expired", "stopped", "cancelled"]
ENDINGS = st.builds(Ending, kind=st.sampled_from(KINDS), reason=st.just("because"), back_to=st.just("clean"))


def staged(done: int, state: str = "running", attempts: int = 1, max_attempts: int = 3) -> tuple[Stage, ...]:
    """A job's stages, ``done`` of them done."""
    due = Stage(STAGES[done], state, attempts, max_attempts, lease_until=T0)  # type: ignore[arg-type]
    return (*(Stage(name, "done") for name in STAGES[:done]), due, *(Stage(name) for name in STAGES[done + 1 :]))


STAGED = st.builds(
    staged,
    st.integers(0, len(STAGES) - 1),
    st.sampled_from(["waiting", "running"]),
    st.integers(1, 5),
    st.integers(1, 5),
)
JOBS = st.builds(
    Job,
    request_id=st.uuids().map(str),
    model=st.sampled_from(["a", "b", "c"]),
    state=st.sampled_from(["queued", "running"]),
    created_at=SOME_S,
    not_before=SOME_S,
    stages=STAGED,
    declared=st.booleans(),
    cancelled_by=st.none() | st.just("ann"),
)


def job(**changes: object) -> Job:
    values: dict[str, object] = {
        "request_id": "r",
        "model": "m",
        "state": "running",
        "created_at": T0,
        "not_before": T0,
        "stages": staged(1),
    }
    return Job(**(values | changes))  # type: ignore[arg-type]


@given(jobs=st.lists(JOBS, max_size=12), data=st.data())
def test_a_held_request_is_never_next_before_it_began(jobs: list[Job], data: st.DataObject) -> None:
    held = data.draw(st.sets(st.sampled_from([j.request_id for j in jobs])) if jobs else st.just(set()))
    chosen = next_task(jobs, T0, held)
    assert chosen is None or chosen.state == "running" or chosen.request_id not in held


@given(jobs=st.lists(JOBS, max_size=12), allowed=st.sets(st.sampled_from(STAGES)))
def test_the_oldest_that_may_go_on_is_next_and_only_a_stage_that_is_allowed(
    jobs: list[Job], allowed: set[object]
) -> None:
    chosen = next_task(jobs, T0, allowed=allowed)  # type: ignore[arg-type]
    busy = {j.model for j in jobs if j.state == "running"}
    ready = [
        j
        for j in jobs
        if j.due.name in allowed
        and (
            (j.due.state == "waiting" and j.cancelled_by is None)
            if j.state == "running"
            else (j.declared and j.not_before <= T0 and j.model not in busy)
        )
    ]
    if chosen is None:
        assert not ready
    else:
        assert chosen in ready
        assert all(chosen.created_at <= other.created_at for other in ready)


@given(jobs=st.lists(JOBS, max_size=8), ending=ENDINGS)
def test_every_stage_is_over_after_a_bounded_number_of_crashes(jobs: list[Job], ending: Ending) -> None:
    """Whatever happens in between: attempts that count only grow, and at max_attempts it is over."""
    for current in jobs:
        step, stage = after(current, ending), current.due
        assert step.state in OVER | {"running"}
        assert step.rest <= timedelta(minutes=10)
        blamed = ending.kind in ("crashed", "late", "lost", "lease_expired")
        if blamed and stage.attempts >= stage.max_attempts:
            assert step.state in OVER
        if blamed and step.state == "running":
            assert step.attempts == stage.attempts < stage.max_attempts
        if ending.kind in ("unavailable", "stopped") and current.cancelled_by is None:
            assert (step.state, step.attempts) == ("running", stage.attempts - 1)
        if current.cancelled_by is not None:
            assert step.state == "cancelled"


def test_what_fails_the_same_way_for_ever_is_not_tried_again() -> None:
    assert after(job(), Ending("refused", "no such column")).state == "failed"
    assert after(job(), Ending("timed_out", "took longer than 5 s")).state == "failed"


def test_the_last_crash_says_how_often_it_was_tried() -> None:
    step = after(job(stages=staged(1, attempts=3)), Ending("crashed", "the process was ended by SIGSEGV"))
    assert (step.state, step.reason) == ("failed", "gave up after 3 attempts: the process was ended by SIGSEGV")


def test_pauses_between_attempts_grow_from_the_stages_own() -> None:
    tries = [job(stages=staged(1, attempts=n, max_attempts=40)) for n in range(1, 30)]
    pauses = [after(one, Ending("crashed", "x")).rest for one in tries]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[3], pauses[-1]) == (timedelta(seconds=2), timedelta(seconds=16), timedelta(minutes=10))


def test_a_request_waits_a_little_for_its_model_to_be_declared() -> None:
    early = job(state="queued", declared=False, stages=())
    grace = timedelta(seconds=5)
    assert unattended(early, T0 + timedelta(seconds=4), grace) is None
    step = unattended(early, T0 + timedelta(seconds=5), grace)
    assert step is not None
    assert step.state == "failed"
    assert "run: shipway model declare FILE.toml" in step.reason
    assert unattended(job(state="queued"), T0 + timedelta(days=1), grace) is None


def test_a_running_stage_waits_again_when_its_lease_ran_out() -> None:
    later = T0 + timedelta(seconds=1)
    grace = timedelta(0)
    assert unattended(job(), T0, grace) is None
    step = unattended(job(), later, grace)
    assert step is not None
    assert (step.state, step.attempts) == ("running", 1)
    last = unattended(job(stages=staged(1, attempts=3)), later, grace)
    assert last is not None
    assert last.state == "failed"


def test_a_whole_job_of_the_release_before_is_left_alone_until_its_lease_ran_out() -> None:
    held = job(stages=(), owner="older", lease_until=T0)
    assert unattended(held, T0, timedelta(0)) is None
    assert next_task([held], T0) is None
    step = unattended(held, T0 + timedelta(seconds=1), timedelta(0))
    assert step is not None
    assert step.state == "queued"


def test_a_job_that_nobody_works_on_is_cancelled_at_once() -> None:
    for waiting in (job(state="queued", cancelled_by="ann"), job(stages=staged(2, "waiting"), cancelled_by="ann")):
        step = unattended(waiting, T0, timedelta(0))
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

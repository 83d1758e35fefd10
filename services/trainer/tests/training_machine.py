"""Whole lives of jobs, decided by the rules alone: trainers of few stages that die, come back as zombies, or go away;
commands that come late, twice, or never; clocks that jump ahead."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shipway.trainer.kinds import ALL_STAGES, STAGES_OF, Kind, StageName
from shipway.trainer.training import OVER, Ending, Job, Stage, Step, after, next_task, unattended

T0 = datetime(2026, 1, 1, tzinfo=UTC)
LEASE, GRACE = timedelta(seconds=15), timedelta(seconds=5)
MODELS = ("a", "b")
ENDS = st.sampled_from(["refused", "unavailable", "crashed", "timed_out", "late", "stopped"])
POOLS = st.sampled_from([ALL_STAGES, ALL_STAGES[:2], ALL_STAGES[2:4], ALL_STAGES[4:], (), ("train",), ("search",)])


@dataclass
class Hand:
    """A trainer with a stage in hand, or that believes so."""

    request_id: str
    stage: StageName
    fence: int


class Lives(RuleBasedStateMachine):
    """The trainer's tables, as far as the rules see them, and what trainers do to them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = T0
        self.jobs: dict[str, Job] = {}
        self.fences: dict[tuple[str, str], int] = {}
        self.hands: list[Hand] = []
        self.runs: dict[tuple[str, str], int] = {}
        self.completed: list[str] = []

    # What comes from outside.

    @rule(number=st.integers(0, 5), model=st.sampled_from(MODELS))
    def request(self, number: int, model: str) -> None:
        """A request, perhaps one that came before."""
        known = self.jobs.get(f"r{number}")
        if known is None:
            kind: Kind = "search" if number in (3, 4) else "training"
            job = Job(f"r{number}", model, "queued", self.now, self.now, declared=number != 5, kind=kind)
            self.jobs[job.request_id] = job

    @rule(number=st.integers(0, 5))
    def cancel(self, number: int) -> None:
        """A wish, perhaps for a job that is over or never was."""
        job = self.jobs.get(f"r{number}")
        if job is not None and job.state not in OVER:
            self._put(replace(job, cancelled_by="ann"))

    @rule(number=st.integers(0, 5), twice=st.booleans())
    def retry(self, number: int, twice: bool) -> None:
        """A failed job is queued again, and keeps what is done."""
        for _ in range(1 + twice):
            job = self.jobs.get(f"r{number}")
            if job is not None and job.state in ("failed", "cancelled"):
                done = sum(stage.state == "done" for stage in job.stages)
                self._put(replace(job, state="queued", cancelled_by=None, declared=True, not_before=self.now))
                assert sum(stage.state == "done" for stage in self.jobs[job.request_id].stages) == done

    @rule(seconds=st.sampled_from([1, 10, 20, 700]))
    def time_goes_on(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    # What trainers do.

    @rule(stages=POOLS)
    def look_for_work(self, stages: tuple[StageName, ...]) -> None:
        for job in list(self.jobs.values()):
            if job.state not in OVER and (step := unattended(job, self.now, GRACE)) is not None:
                self._settle(job, step)
        opened = [job for job in self.jobs.values() if job.state not in OVER]
        chosen = next_task(opened, self.now, allowed=stages)
        if chosen is None:
            return
        if chosen.state == "queued":
            others = tuple(s if s.state == "done" else Stage(s.name) for s in chosen.stages)
            chosen = replace(chosen, state="running", stages=others or tuple(map(Stage, STAGES_OF[chosen.kind])))
        stage = chosen.due
        assert stage.name in stages
        self._take(chosen, stage)

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), goes_on=st.booleans())
    def a_stage_is_done(self, data: st.DataObject, goes_on: bool) -> None:
        """By who has it in hand, or by a zombie, whose word counts for nothing."""
        hand = data.draw(st.sampled_from(self.hands))
        self.hands.remove(hand)
        if not self._holds(hand):
            return
        job = self._with(self.jobs[hand.request_id], hand.stage, state="done", lease_until=None)
        self.runs[hand.request_id, hand.stage] = self.runs.get((hand.request_id, hand.stage), 0) + 1
        self._put(job)
        if hand.stage == STAGES_OF[job.kind][-1]:
            self._put(replace(job, state="completed"))
            self.completed.append(job.request_id)
        elif goes_on and job.cancelled_by is None:
            self._take(job, job.due)

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), kind=ENDS)
    def a_stage_is_not_done(self, data: st.DataObject, kind: str) -> None:
        hand = data.draw(st.sampled_from(self.hands))
        self.hands.remove(hand)
        if self._holds(hand):
            job = self.jobs[hand.request_id]
            self._settle(job, after(job, Ending(kind, kind)))  # type: ignore[arg-type]

    @rule(kind=ENDS, times=st.integers(2, 4))
    def a_stage_ends_so_again_and_again(self, kind: str, times: int) -> None:
        for _ in range(times):
            self.now += timedelta(minutes=11)
            before = len(self.hands)
            self.look_for_work(ALL_STAGES)
            if len(self.hands) > before:
                hand = self.hands.pop()
                job = self.jobs[hand.request_id]
                self._settle(job, after(job, Ending(kind, kind)))  # type: ignore[arg-type]

    @precondition(lambda self: self.hands)
    @rule(data=st.data())
    def an_output_is_lost(self, data: st.DataObject) -> None:
        hand = data.draw(st.sampled_from(self.hands))
        stages = STAGES_OF[self.jobs[hand.request_id].kind]
        at = stages.index(hand.stage)
        if at and self._holds(hand):
            self.hands.remove(hand)
            job = self.jobs[hand.request_id]
            lost = data.draw(st.sampled_from(stages[:at]))
            self._settle(job, after(job, Ending("lost", "lost", lost)))

    @precondition(lambda self: self.hands)
    @rule(data=st.data())
    def a_trainer_dies(self, data: st.DataObject) -> None:
        self.hands.remove(data.draw(st.sampled_from(self.hands)))

    @precondition(lambda self: self.hands)
    @rule(data=st.data())
    def a_trainer_shows_that_it_lives(self, data: st.DataObject) -> None:
        hand = data.draw(st.sampled_from(self.hands))
        if self._holds(hand):
            self._put(self._with(self.jobs[hand.request_id], hand.stage, lease_until=self.now + LEASE))

    # What must hold at any moment.

    @invariant()
    def a_model_has_one_training_and_one_search_under_way_and_a_job_one_stage(self) -> None:
        running = [job for job in self.jobs.values() if job.state == "running"]
        assert len({(job.model, job.kind) for job in running}) == len(running)
        for job in self.jobs.values():
            under_way = [stage.name for stage in job.stages if stage.state == "running"]
            assert under_way in ([], [job.due.name])
            assert not (under_way and job.state in OVER)

    @invariant()
    def what_is_done_is_done_from_the_first_stage_on(self) -> None:
        for job in self.jobs.values():
            done = [stage.name for stage in job.stages if stage.state == "done"]
            stages = STAGES_OF[job.kind]
            assert tuple(done) == stages[: len(done)]
            assert (job.state == "completed") == (len(done) == len(stages))

    @invariant()
    def no_stage_is_tried_more_often_than_allowed_and_no_job_completes_twice(self) -> None:
        for job in self.jobs.values():
            assert all(0 <= stage.attempts <= stage.max_attempts for stage in job.stages)
        assert len(self.completed) == len(set(self.completed))

    @invariant()
    def one_hand_at_most_holds_a_stage(self) -> None:
        holding = [(hand.request_id, hand.stage) for hand in self.hands if self._holds(hand)]
        assert len(holding) == len(set(holding))

    def teardown(self) -> None:
        """With trainers that work, every job ends, and one that ends well had every stage done."""
        for _ in range(40 * len(ALL_STAGES)):
            self.now += timedelta(minutes=11)
            self.hands.clear()
            self.look_for_work(ALL_STAGES)
            for hand in list(self.hands):
                if self._holds(hand):
                    self._put(self._with(self.jobs[hand.request_id], hand.stage, state="done", lease_until=None))
                    if hand.stage == STAGES_OF[self.jobs[hand.request_id].kind][-1]:
                        self._put(replace(self.jobs[hand.request_id], state="completed"))
        assert all(job.state in OVER for job in self.jobs.values()), self.jobs

    # The tables.

    def _put(self, job: Job) -> None:
        self.jobs[job.request_id] = job

    def _with(self, job: Job, stage: StageName, **changes: object) -> Job:
        changed = tuple(replace(s, **changes) if s.name == stage else s for s in job.stages)  # type: ignore[arg-type]
        return replace(job, stages=changed)

    def _take(self, job: Job, stage: Stage) -> None:
        fence = self.fences[job.request_id, stage.name] = self.fences.get((job.request_id, stage.name), 0) + 1
        taken = {"state": "running", "attempts": stage.attempts + 1, "lease_until": self.now + LEASE}
        self._put(self._with(job, stage.name, **taken))
        self.hands.append(Hand(job.request_id, stage.name, fence))

    def _holds(self, hand: Hand) -> bool:
        job = self.jobs[hand.request_id]
        stage = next((s for s in job.stages if s.name == hand.stage), None)
        current = self.fences[hand.request_id, hand.stage] == hand.fence
        return job.state == "running" and stage is not None and stage.state == "running" and current

    def _settle(self, job: Job, step: Step) -> None:
        rest = self.now + step.rest
        waiting = {"state": "waiting", "attempts": step.attempts, "not_before": rest, "lease_until": None}
        job = replace(self._with(job, job.due.name, **waiting) if job.stages else job, state=step.state)
        if step.back_to is not None:
            at = STAGES_OF[job.kind].index(step.back_to)
            again = tuple(Stage(s.name) if s.state == "done" and i >= at else s for i, s in enumerate(job.stages))
            job = replace(job, stages=again)
        self._put(job)

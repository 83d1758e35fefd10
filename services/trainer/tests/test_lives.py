"""Whole lives of jobs hold what training_machine asks; and each bug planted in the rules is found by it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from services.trainer.tests import training_machine
from services.trainer.tests.training_machine import Lives
from shipway.trainer.kinds import ALL_STAGES
from shipway.trainer.training import Ending, Job, Step

Rule = Callable[..., Any]
BUDGET = settings(
    max_examples=400, stateful_step_count=40, deadline=None, derandomize=True, database=None, phases=[Phase.generate]
)


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=60, stateful_step_count=40)


def two_jobs_of_a_model(rule: Rule) -> Rule:
    """A model that trains is not seen to be busy."""

    def mutant(jobs: Any, now: Any, held: Any = (), allowed: Any = ALL_STAGES) -> Job | None:
        queued = [replace(job, model=job.request_id) for job in jobs]
        chosen = rule(queued, now, held, allowed)
        return None if chosen is None else next(job for job in jobs if job.request_id == chosen.request_id)

    return mutant


def any_stage_will_do(rule: Rule) -> Rule:
    """A trainer takes what it was not told to take."""
    return lambda jobs, now, held=(), allowed=ALL_STAGES: rule(jobs, now, held, ALL_STAGES)


def tries_without_end(rule: Rule) -> Rule:
    """One try more than the policy allows."""

    def mutant(job: Job, ending: Ending) -> Step:
        step: Step = rule(job, ending)
        if step.state == "failed" and step.reason.startswith("gave up"):
            return Step("running", step.attempts, timedelta(0), step.reason)
        return step

    return mutant


def an_outage_counts(rule: Rule) -> Rule:
    """A try that an outage ended is not given back."""

    def mutant(job: Job, ending: Ending) -> Step:
        step: Step = rule(job, ending)
        return replace(step, attempts=job.due.attempts) if ending.kind in ("unavailable", "stopped") else step

    return mutant


def the_dead_are_waited_for(rule: Rule) -> Rule:
    """A lease that ran out is not acted on."""

    def mutant(job: Job, now: Any, grace: Any) -> Step | None:
        return None if job.state == "running" and job.due.state == "running" else rule(job, now, grace)

    return mutant


def a_cancelled_job_is_left(rule: Rule) -> Rule:
    """A wish that comes between two stages is never fulfilled."""

    def mutant(job: Job, now: Any, grace: Any) -> Step | None:
        return None if job.cancelled_by is not None and job.state == "running" else rule(job, now, grace)

    return mutant


def an_undeclared_model_is_waited_for(rule: Rule) -> Rule:
    """A request for a model that nobody declares never ends."""
    return lambda job, now, grace: None if not job.declared else rule(job, now, grace)


PLANTED = [
    ("next_task", two_jobs_of_a_model),
    ("next_task", any_stage_will_do),
    ("after", tries_without_end),
    ("after", an_outage_counts),
    ("unattended", the_dead_are_waited_for),
    ("unattended", a_cancelled_job_is_left),
    ("unattended", an_undeclared_model_is_waited_for),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "mutant"), PLANTED, ids=lambda value: getattr(value, "__name__", value))
def test_a_planted_bug_is_found(monkeypatch: pytest.MonkeyPatch, name: str, mutant: Callable[[Rule], Rule]) -> None:
    monkeypatch.setattr(training_machine, name, mutant(getattr(training_machine, name)))
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Lives, settings=BUDGET)

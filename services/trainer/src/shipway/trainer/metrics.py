"""The trainer's metrics."""

from collections import Counter as Count
from collections.abc import Iterable

from prometheus_client import Counter, Gauge, Histogram

from shipway.trainer.training import Job

TRAININGS = Counter("shipway_trainings_total", "Trainings that are over, by how they ended.", ["outcome"])
OPEN_JOBS = Gauge("shipway_training_jobs", "Trainings that are not over, by state.", ["state"])
TRAINING_SECONDS = Histogram(
    "shipway_training_seconds",
    "How long a training that gave a version took.",
    buckets=(1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200),
)
STAGE_SECONDS = Histogram(
    "shipway_training_stage_seconds",
    "How long a stage took until it was done, or its output found.",
    ["stage", "outcome"],
    buckets=(0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 7200),
)
SEARCH_TRIALS = Counter("shipway_search_trials_total", "Trials of searches that are over, by their end.", ["outcome"])
STAGES_LATE = Counter(
    "shipway_training_stages_late_total", "Stages that took longer than their service level.", ["stage"]
)


def count_open(jobs: Iterable[Job]) -> None:
    """Shows the jobs that are not over."""
    found = Count(job.state for job in jobs)
    for state in ("queued", "running"):
        OPEN_JOBS.labels(state).set(found[state])

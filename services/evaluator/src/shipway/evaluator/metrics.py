"""The evaluator's metrics."""

from prometheus_client import Counter, Gauge, Histogram

VERDICTS = Counter("shipway_verdicts_total", "Verdicts, by outcome.", ["outcome"])
GATES_FAILED = Counter("shipway_gates_failed_total", "Gates that a version did not pass.", ["gate"])
WAITING = Gauge("shipway_candidates_waiting", "Versions that wait for a verdict.")
REPLAYS = Counter("shipway_replays_total", "Replays of logged predictions that are over, by outcome.", ["outcome"])
REPLAYS_WAITING = Gauge("shipway_replays_waiting", "Replays of logged predictions that wait or are made.")
JUDGING_SECONDS = Histogram(
    "shipway_judging_seconds",
    "How long a verdict took, once begun.",
    buckets=(0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600),
)

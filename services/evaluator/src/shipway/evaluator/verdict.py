"""The verdict on a version: gates, each with its figure, its limit and its outcome in words; all must pass.

Every gate is judged and reported, not only the first that fails. What can't be measured does not pass.
The rules are in ``gates``, what they judge in ``facts``.
"""

from dataclasses import dataclass

from shipway.contract.events import Gate
from shipway.contract.spec import ModelSpec
from shipway.evaluator.facts import Evidence, Measured, Opened
from shipway.evaluator.gates import holdout, integrity, quality, steadiness
from shipway.evaluator.gates.outcome import NOT_JUDGED, gate

MEASURED_GATES = (
    "holdout-size",
    "holdout-overlap",
    "leakage",
    "floor",
    "champion",
    "slices",
    "calibration",
    "stability",
    "latency",
)


@dataclass(frozen=True)
class Verdict:
    """Approved only if every gate passed; ``reason`` names those that did not.

    ``hold`` says why an approved version waits for a person; empty: it is released by itself.
    """

    approved: bool
    gates: list[Gate]
    reason: str
    hold: str = ""


def judge(evidence: Evidence) -> Verdict:
    """The verdict on the evidence."""
    opened, measured = evidence.opened, evidence.measured
    gates = [
        integrity.bundle_intact(evidence),
        integrity.size(opened),
        integrity.model_file(evidence),
        integrity.golden_rows(evidence),
        holdout.untouched(opened),
        *(_measured(evidence, opened, measured) if opened and measured else _unmeasured(evidence)),
        integrity.signature_compatible(opened, evidence.champion),
    ]
    failed = [gate for gate in gates if not gate.passed]
    named = [gate for gate in failed if not gate.reason.startswith(NOT_JUDGED)] or failed
    reason = "; ".join(f"{gate.name}: {gate.reason}" for gate in named)
    hold = hold_of(evidence.origin, opened.spec) if opened is not None and not failed else ""
    return Verdict(not failed, gates, reason, hold)


def hold_of(origin: str, spec: ModelSpec) -> str:
    """Why a version that passed waits for a person; empty where it does not."""
    if origin == "search":
        return "its parameters were found by a search"
    return "its model file wants a person's approval" if spec.release.approval == "manual" else ""


def _measured(evidence: Evidence, opened: Opened, measured: Measured) -> list[Gate]:
    spec, reigning = opened.spec, evidence.champion
    return [
        holdout.large_enough(opened, measured),
        holdout.not_overlapping(opened, measured.overlap, evidence.origin),
        holdout.no_leak(opened, measured.telling),
        quality.floor(spec, measured),
        quality.champion(spec, measured, reigning),
        quality.slices(spec, measured.slices, reigning),
        quality.calibration(spec, measured.calibration),
        steadiness.stable(spec, measured.stability, evidence.origin),
        integrity.latency(opened, measured.latency),
    ]


def _unmeasured(evidence: Evidence) -> list[Gate]:
    """The same gates where the holdout could not be scored; the first says why, unless an earlier one has."""
    why = NOT_JUDGED + "the holdout was not scored"
    untried = evidence.bundle_problem or evidence.model_file_problem or evidence.golden_problem
    first = why if untried else evidence.measuring_problem or why
    return [gate(name, False, why if i else first) for i, name in enumerate(MEASURED_GATES)]

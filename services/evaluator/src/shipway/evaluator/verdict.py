"""The verdict on a version: gates, each with its figure, its limit and its outcome in words; all must pass.

Every gate is judged and reported, not only the first that fails. What can't be measured does not pass.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shipway.bundle.metrics import HIGHER_IS_BETTER
from shipway.contract.events import Gate
from shipway.contract.signature import Signature
from shipway.contract.spec import ModelSpec
from shipway.evaluator.compatibility import incompatibilities

NOT_JUDGED = "not judged: "


@dataclass(frozen=True)
class Opened:
    """What a whole bundle says of itself."""

    spec: ModelSpec
    signature: Signature
    total_bytes: int
    train_to: datetime
    holdout_from: datetime


@dataclass(frozen=True)
class Measured:
    """Metrics on the holdout, by name.

    ``constant`` is a prediction that knows only the training labels. ``champion`` and ``against_champion`` (the
    candidate's) are on the rows that both can be judged on; ``champion`` is empty where there is none to compare
    with, and ``champion_problem`` says why if one exists.
    """

    rows: int
    set_aside: int
    metrics: Mapping[str, float]
    constant: Mapping[str, float]
    champion: Mapping[str, float] = field(default_factory=dict)
    against_champion: Mapping[str, float] = field(default_factory=dict)
    champion_problem: str | None = None


@dataclass(frozen=True)
class Champion:
    """The version in service; ``signature`` is None where its bundle can't be read."""

    version: int
    signature: Signature | None


@dataclass(frozen=True)
class Evidence:
    """All that a verdict is given on. A problem is None where there is none; later parts may be missing."""

    opened: Opened | None
    bundle_problem: str | None = None
    model_file_problem: str | None = None
    golden_problem: str | None = None
    measured: Measured | None = None
    measuring_problem: str | None = None
    champion: Champion | None = None
    origin: str = "training"


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
        _problem_gate("bundle-intact", evidence.bundle_problem, "every file has the hash of the manifest"),
        _size(opened),
        _problem_gate("model-file", evidence.model_file_problem, "its structure is that of a LightGBM model"),
        _problem_gate("golden-rows", evidence.golden_problem, "a fresh process gives the golden rows' scores"),
        _holdout_untouched(opened),
        *_measured_gates(evidence, opened, measured),
        _compatible(opened, evidence.champion),
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
    return "its model file wants a person's approval" if _approval(spec) == "manual" else ""


def _approval(spec: ModelSpec) -> str:
    return str(spec.release.model_dump().get("approval", "auto"))


def _measured_gates(evidence: Evidence, opened: Opened | None, measured: Measured | None) -> list[Gate]:
    if opened is None or measured is None:
        untried = evidence.bundle_problem or evidence.model_file_problem or evidence.golden_problem
        why = NOT_JUDGED + "the holdout was not scored"
        first = why if untried else evidence.measuring_problem or why
        return [_gate("holdout-size", False, first), _gate("floor", False, why), _gate("champion", False, why)]
    limit = opened.spec.gates.min_holdout_rows
    words = f"{measured.rows:,} rows with a label ({measured.set_aside:,} without), {limit:,} are needed"
    size = _gate("holdout-size", measured.rows >= limit, words, measured.rows, limit)
    return [size, _floor(opened.spec, measured), _better(opened.spec, measured, evidence.champion)]


def _size(opened: Opened | None) -> Gate:
    if opened is None:
        return _gate("size", False, NOT_JUDGED + "the bundle can't be read")
    megabytes, limit = opened.total_bytes / 1e6, opened.spec.gates.max_bundle_mb
    return _gate("size", megabytes <= limit, f"{megabytes:.1f} MB, {limit:g} MB are allowed", megabytes, limit)


def _holdout_untouched(opened: Opened | None) -> Gate:
    name = "holdout-untouched"
    if opened is None:
        return _gate(name, False, NOT_JUDGED + "the bundle can't be read")
    apart_s = (opened.holdout_from - opened.train_to).total_seconds()
    ends = f"training ends {opened.train_to:%Y-%m-%d %H:%M}, the holdout begins {opened.holdout_from:%Y-%m-%d %H:%M}"
    return _gate(name, apart_s >= 0, ends, apart_s, 0)


def _floor(spec: ModelSpec, measured: Measured) -> Gate:
    figure, limit = measured.metrics.get(spec.metric, math.nan), spec.gates.floor
    if not math.isfinite(figure):
        return _gate("floor", False, f"{spec.metric} is not defined on this holdout", None, limit)
    if limit is None:
        return _gate("floor", True, f"{spec.metric} {figure:.4g}; no floor is set", figure, None)
    words = f"{spec.metric} {figure:.4g}, {'at least' if HIGHER_IS_BETTER[spec.metric] else 'at most'} {limit:g}"
    return _gate("floor", _not_worse(spec.metric, figure, limit), words + " is needed", figure, limit)


def _better(spec: ModelSpec, measured: Measured, champion: Champion | None) -> Gate:
    """Against the champion; the first version, or one whose champion can't be scored, against a constant."""
    name, metric = "champion", spec.metric
    theirs = measured.champion.get(metric, math.nan)
    if champion is not None and math.isfinite(theirs):
        figure = measured.against_champion.get(metric, math.nan)
        if not math.isfinite(figure):
            return _gate(name, False, f"{metric} is not defined on this holdout")
        allowed = spec.gates.max_regression
        limit = theirs - allowed if HIGHER_IS_BETTER[metric] else theirs + allowed
        words = f"{metric} {figure:.4g}, {theirs:.4g} of champion {champion.version}; {allowed:g} worse is allowed"
        return _gate(name, _not_worse(metric, figure, limit), words, figure, limit)
    figure, limit = measured.metrics.get(metric, math.nan), measured.constant.get(metric, math.nan)
    if not (math.isfinite(figure) and math.isfinite(limit)):
        return _gate(name, False, f"{metric} is not defined on this holdout")
    beats = figure > limit if HIGHER_IS_BETTER[metric] else figure < limit
    words = f"{metric} {figure:.4g}, must beat {limit:.4g} of a constant prediction"
    if champion is None:
        return _gate(name, beats, words + "; there is no champion yet", figure, limit)
    why = measured.champion_problem or f"its {metric} is not defined"
    return _gate(name, beats, f"{words}; champion {champion.version} can't be compared: {why}", figure, limit)


def _compatible(opened: Opened | None, champion: Champion | None) -> Gate:
    name = "signature-compatible"
    if opened is None:
        return _gate(name, False, NOT_JUDGED + "the bundle can't be read")
    if champion is None:
        return _gate(name, True, "there is no champion yet, so no client to break")
    if champion.signature is None:
        return _gate(name, False, f"the signature of champion {champion.version} can't be read; roll it back first")
    found = incompatibilities(champion.signature, opened.signature)
    words = "; ".join(found) or f"takes all that champion {champion.version} takes"
    return _gate(name, not found, words, len(found), 0)


def _problem_gate(name: str, problem: str | None, well: str) -> Gate:
    return _gate(name, problem is None, problem or well)


def _not_worse(metric: str, figure: float, limit: float) -> bool:
    return figure >= limit if HIGHER_IS_BETTER[metric] else figure <= limit


def _gate(name: str, passed: bool, reason: str, figure: float | None = None, limit: float | None = None) -> Gate:
    return Gate(name=name, passed=passed, figure=figure, limit=limit, reason=reason)

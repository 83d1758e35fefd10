"""The report as JSON-like data: verdict, figures, and which data they come from. What was not measured is left out."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from shipway.evaluator.facts import Evidence
from shipway.evaluator.verdict import Verdict

FORMAT = 1
_FIGURES = ("slices", "calibration", "stability", "overlap", "latency", "better_by", "beats_constant")


def document(told: Mapping[str, Any], verdict: Verdict, evidence: Evidence, judged_at: datetime) -> dict[str, Any]:
    """The report. ``told`` is what the event tells of the verdict too.

    Its fields only grow: a report is kept as long as its version's name.
    """
    opened, measured = evidence.opened, evidence.measured
    report: dict[str, Any] = {
        "format": FORMAT,
        **msgspec.to_builtins(dict(told)),
        "approved": verdict.approved,
        "reason": verdict.reason,
        "hold": verdict.hold,
        "origin": evidence.origin,
        "judged_at": judged_at.isoformat(),
    }
    if opened is not None:
        spec = opened.spec
        report |= {
            "metric": spec.metric,
            "kind": spec.target.kind,
            "target": spec.target.column,
            "bundle_bytes": opened.total_bytes,
            "limits": spec.gates.model_dump(mode="json"),
        }
    if measured is not None:
        plain = msgspec.to_builtins(measured)
        of_queries = {"queries": measured.queries, "trained_on": measured.trained_on}
        report |= {
            "holdout": {"rows": measured.rows, "set_aside": measured.set_aside}
            | ({} if measured.queries is None else of_queries),
            "constant_metrics": plain["constant"],
            "against_champion_metrics": plain["against_champion"],
            "single_features": plain["telling"],
            **{name: plain[name] for name in _FIGURES if plain[name]},
        }
    return {**report, **evidence.exhibits}

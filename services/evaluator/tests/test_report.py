"""The report: for every verdict a page that is whole, says what was found, and lets no text through as markup."""

from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from evidences import EVIDENCE, GOOD, T0
from hypothesis import given, settings

from shipway.evaluator.facts import Calibration, CalibrationBin, Difference, Evidence, Slice
from shipway.evaluator.report.document import document
from shipway.evaluator.report.page import page
from shipway.evaluator.verdict import judge

HOSTILE = "<script>alert('x')</script>&\""
VOID = {"meta", "rect", "circle", "line", "polyline", "path"}


class Checked(HTMLParser):
    """Holds that tags close in order; collects them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def report(evidence: Evidence, **told: Any) -> dict[str, Any]:
    verdict = judge(evidence)
    metrics = {} if evidence.measured is None else {n: v for n, v in evidence.measured.metrics.items() if v == v}
    common = {
        "model": "m",
        "version": 1,
        "digest": "0" * 64,
        "gates": verdict.gates,
        "metrics": metrics,
        "champion_version": None,
        "champion_metrics": {},
    }
    return document(common | told, verdict, evidence, T0)


@given(evidence=EVIDENCE)
@settings(max_examples=60)
def test_every_verdict_makes_a_whole_page(evidence: Evidence) -> None:
    shown = page(report(evidence))
    assert "script" not in Checked(shown).seen
    for name in ("bundle-intact", "signature-compatible"):
        assert name in shown


def test_names_from_data_are_no_markup() -> None:
    assert GOOD.measured is not None
    cut = Slice(HOSTILE, HOSTILE, 500, 0.7, 0.6, Difference(0.1, 0.05, 0.15))
    measured = replace(
        GOOD.measured,
        slices=[cut],
        telling={HOSTILE: 0.5},
        calibration=Calibration(0.1, [CalibrationBin(50, 0.1, 0.2), CalibrationBin(50, 0.6, 0.7)]),
    )
    window = {"from": HOSTILE, "to": HOSTILE, "rows": 1, "set_aside": 0, "content": HOSTILE}
    exhibits = {
        "curves": {
            "roc": {HOSTILE: [[0, 0], [0.2, 0.7], [1, 1]]},
            "scores": {"edges": [0, 0.5, 1], "shares": {HOSTILE: [0.4, 0.6], "b": [0.5, 0.5]}},
            "errors": {"edges": [-1, 0, 1], "shares": {HOSTILE: [0.4, 0.6]}},
            "confusion": {"classes": [HOSTILE, "b"], "counts": [[1, 2], [3, 4]]},
        },
        "data": {
            "source": HOSTILE,
            "files": [{"name": HOSTILE, "bytes": 5, "sha256": None}],
            "windows": {"train": window},
        },
        "training": {"importance_gain": {HOSTILE: 2.0}},
    }
    shown = page(report(replace(GOOD, measured=measured, exhibits=exhibits), model=HOSTILE))
    checked = Checked(shown)
    assert "script" not in checked.seen
    assert {"svg", "table", "figure"} <= checked.seen
    assert shown.count("&lt;script&gt;") > 10


@pytest.mark.parametrize("gone", ["measured", "opened"])
def test_what_was_not_measured_is_left_out(gone: str) -> None:
    evidence = replace(GOOD, **{gone: None}, measuring_problem="away")  # type: ignore[arg-type]
    found = report(replace(evidence, measured=None))
    assert "slices" not in found and "data" not in found
    assert not found["approved"]
    assert "Plots" not in page(found)

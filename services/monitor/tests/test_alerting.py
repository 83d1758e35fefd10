"""Alerts by windows: one while it lasts, told again when it changes much, and not coming and going."""

from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.contract.spec import AlertKind
from shipway.monitor.alerting import KINDS, PLAYBOOK, Change, Open, Rule, change, page_of, severity_of
from shipway.monitor.judgement import Finding

RULE = Rule({})


def finding(alarm: bool, figure: float | None = 1.0, kind: str = "errors") -> Finding:
    return Finding(1, kind, "", "alarm" if alarm else "ok", alarm, figure, 0.5, None, "why")


@pytest.mark.parametrize(
    ("before", "now", "after"),
    [
        (None, finding(False), None),
        (None, finding(True), Change("raised")),
        (Open(1.0), finding(True, 1.4), Change("seen")),
        (Open(1.0), finding(True, 1.6), Change("updated")),
        (Open(1.0), finding(True, 0.5), Change("updated")),
        (Open(None), finding(True, 0.5), Change("updated")),
        (Open(1.0, quiet=1), finding(True, 1.0), Change("seen", 0)),
        (Open(1.0), finding(False), Change("seen", 1)),
        (Open(1.0, quiet=1), finding(False, None), Change("ended", 2)),
    ],
)
def test_what_a_window_does_to_an_alert(before: Open | None, now: Finding, after: Change | None) -> None:
    assert change(before, now, RULE) == after


def test_the_model_file_says_how_severe_a_kind_is_or_that_it_is_none() -> None:
    rule = Rule({"errors": "none", "rare_answer": "critical"})
    assert severity_of("errors", rule) is None
    assert severity_of("rare answer", rule) == "critical"
    assert severity_of("traffic", rule) == "critical"
    assert change(None, finding(True), rule) is None
    assert change(Open(1.0), finding(True), rule) == Change("ended"), "it was declared away while it lasted"


@given(st.lists(st.tuples(st.booleans(), st.floats(0.1, 10)), max_size=60), st.integers(1, 4))
def test_raised_and_ended_take_turns_and_an_alert_never_ends_within_an_alarm(
    windows: list[tuple[bool, float]], end_after: int
) -> None:
    rule = Rule({}, end_after=end_after)
    alert: Open | None = None
    told: list[str] = []
    for alarm, figure in windows:
        found = change(alert, finding(alarm, figure), rule)
        if found is None:
            continue
        if found.what != "seen":
            told.append(found.what)
        if found.what == "ended":
            assert not alarm
            alert = None
        else:
            was = alert.told if alert is not None and found.what == "seen" else figure
            alert = Open(was, found.quiet)
    turns = [what for what in told if what != "updated"]
    assert turns == (["raised", "ended"] * len(turns))[: len(turns)]
    assert not windows or alert is not None or told == [] or told[-1] == "ended"


def test_every_kind_can_be_declared_and_has_a_page_in_the_playbook() -> None:
    assert {kind.replace(" ", "_") for kind in KINDS} == set(get_args(AlertKind))
    text = (Path(__file__).parents[3] / PLAYBOOK).read_text(encoding="utf-8")
    anchors = {
        line.removeprefix("## ").lower().replace(" ", "-") for line in text.splitlines() if line.startswith("## ")
    }
    assert {page_of(kind).partition("#")[2] for kind in KINDS} <= anchors

"""What is counted has the names that the field expects, and what dashboard and alert rules ask for is counted."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from shipway.cli.generate.grafana import ROWS
from shipway.cli.generate.metrics import Metric, metrics

ROOT = Path(__file__).parents[3]
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
SERIES = re.compile(r"\bshipway_[a-z0-9_]+\b")
DASHBOARD = [query for _, row in ROWS for panel in row for query, _ in panel.queries]


def alerts() -> list[dict[str, object]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def known() -> dict[str, Metric]:
    """The metrics by the names of their series."""
    return {series: metric for metric in metrics() for series in metric.series}


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        missing = "promtool is not installed; it is in Debian's package `prometheus`"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def test_names_follow_the_conventions_of_prometheus() -> None:
    """https://prometheus.io/docs/practices/naming: one prefix, base units, counters that end in _total."""
    found = metrics()
    assert len(found) > 40
    for metric in found:
        assert re.fullmatch(r"shipway(_[a-z]+)+", metric.name), metric
        assert (metric.kind == "counter") == metric.name.endswith("_total"), metric
        assert metric.kind != "histogram" or metric.name.endswith(("_seconds", "_bytes")), metric
        assert not re.search(
            r"_(ms|us|milliseconds|minutes|hours|kb|mb|percent|count|sum|bucket|info)(_|$)", metric.name
        )
        assert metric.help.endswith(".") and metric.help[0].isupper(), metric
        assert not {"le", "quantile", "instance", "job", "service"} & set(metric.labels), f"Prometheus's own: {metric}"


def test_the_dashboard_asks_for_what_is_counted(known: dict[str, Metric]) -> None:
    asked = {name for query in DASHBOARD for name in SERIES.findall(query)}
    asked |= {"shipway_desired_state_generation"}  # its list of models
    assert len(asked) > 20
    assert asked <= set(known), "no service counts this"


def test_the_dashboard_groups_by_labels_that_are_there(known: dict[str, Metric]) -> None:
    added = {"service", "instance", "le"}  # by the scrape configuration, and by histograms
    for query in DASHBOARD:
        labels = {name for found in re.findall(r"by \(([^)]*)\)", query) for name in found.split(", ")}
        of = {label for name in SERIES.findall(query) for label in known[name].labels}
        assert labels <= of | added, query


def test_what_grafana_is_given_is_whole() -> None:
    made = json.loads((ROOT / "deploy" / "grafana" / "dashboards" / "shipway.json").read_text())
    source = yaml.safe_load((ROOT / "deploy" / "grafana" / "datasources" / "prometheus.yml").read_text())
    (uid,) = [s["uid"] for s in source["datasources"]]
    assert {t["datasource"]["uid"] for panel in made["panels"] for t in panel.get("targets", [])} == {uid}
    places = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in made["panels"]
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(places) == len(set(places)), "panels lie on each other"
    assert max(x for x, _ in places) < 24


def test_alert_rules_ask_for_what_is_counted(known: dict[str, Metric]) -> None:
    for rule in alerts():
        asked = SERIES.findall(str(rule["expr"]))
        assert set(asked) <= set(known), rule["alert"]
        assert asked or "up{" in str(rule["expr"])


def test_every_alert_rule_names_its_page_of_the_playbook() -> None:
    lines = (ROOT / "docs" / "playbook.md").read_text().splitlines()
    anchors = {line.removeprefix("## ").lower().replace(" ", "-") for line in lines if line.startswith("## ")}
    for rule in alerts():
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")  # type: ignore[index]
        assert (page, anchor in anchors) == ("docs/playbook.md", True), rule["alert"]


def test_prometheus_takes_the_rules_and_they_say_what_they_should(promtool: str) -> None:
    for command in (["check", "rules", str(RULES)], ["test", "rules", str(RULES.with_name("rules.test.yml"))]):
        ran = subprocess.run([promtool, *command], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_prometheus_takes_the_queries_of_the_dashboard(promtool: str, tmp_path: Path) -> None:
    expressions = [q.replace("$__rate_interval", "1m").replace("$model", ".*") for q in DASHBOARD]
    rules = [{"record": f"dashboard:query:{n}", "expr": expression} for n, expression in enumerate(expressions)]
    (tmp_path / "queries.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    ran = subprocess.run(
        [promtool, "check", "rules", str(tmp_path / "queries.yml")], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr

"""The Grafana dashboard, as data: rows of panels from the request to the retirement, made into Grafana's JSON.

A panel is a title, a unit of Grafana's, and PromQL with the legend of each line. A test holds every metric in it
against what the services show.
"""

from dataclasses import dataclass
from typing import Any

UID = "shipway"
_WIDTH, _HEIGHT, _PER_ROW = 8, 7, 3
_SOURCE = {"type": "prometheus", "uid": "prometheus"}
_OF_MODEL = 'model=~"$model"'
_REQUESTS = "shipway_gateway_requests_total"
_ENDED = f"sum by (model, state) (increase(shipway_releases_total{{{_OF_MODEL}}}[1h]))"
_EVERY = "$__rate_interval"


@dataclass(frozen=True)
class Panel:
    """A plot over time; ``queries`` are pairs of PromQL and legend."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]


def _rate(metric: str, by: str, where: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{{where}}}[{_EVERY}]))"


def _quantile(q: float, histogram: str, where: str = "") -> str:
    return f"histogram_quantile({q}, sum by (le) (rate({histogram}_bucket{{{where}}}[{_EVERY}])))"


def _quantiles(histogram: str, where: str = "") -> tuple[tuple[str, str], ...]:
    return tuple((_quantile(q, histogram, where), f"p{round(100 * q)}") for q in (0.5, 0.95, 0.99))


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Predictions",
        (
            Panel("Requests", "reqps", ((_rate(_REQUESTS, "outcome", _OF_MODEL), "{{outcome}}"),)),
            Panel("Seconds to the answer", "s", _quantiles("shipway_gateway_seconds")),
            Panel(
                "Answers by version",
                "reqps",
                ((_rate("shipway_predictions_answered_total", "model, version", _OF_MODEL), "{{model}} {{version}}"),),
            ),
        ),
    ),
    (
        "Instances",
        (
            Panel(
                "Services ready",
                "short",
                (
                    ("sum by (service) (shipway_ready)", "{{service}}"),
                    ("min(shipway_gateway_instances_routable)", "instances routable"),
                ),
            ),
            Panel("Seconds in the predictor", "s", _quantiles("shipway_predictor_seconds")),
            Panel(
                "Loads, ejections, retries",
                "ops",
                (
                    (_rate("shipway_predictor_loads_total", "outcome"), "load {{outcome}}"),
                    (_rate("shipway_gateway_ejections_total", "why"), "ejected: {{why}}"),
                    (f"sum(rate(shipway_gateway_retries_total[{_EVERY}]))", "retried"),
                ),
            ),
        ),
    ),
    (
        "From request to release",
        (
            Panel(
                "Trainings",
                "short",
                (
                    ("sum by (state) (shipway_training_jobs)", "{{state}}"),
                    ("sum by (outcome) (increase(shipway_trainings_total[1h]))", "{{outcome}} within 1 h"),
                    ("sum(shipway_candidates_waiting)", "wait for a verdict"),
                ),
            ),
            Panel(
                "Seconds of a stage",
                "s",
                (
                    (
                        f"sum by (stage) (rate(shipway_training_stage_seconds_sum[{_EVERY}])) / "
                        f"sum by (stage) (rate(shipway_training_stage_seconds_count[{_EVERY}]))",
                        "{{stage}}",
                    ),
                ),
            ),
            Panel(
                "Verdicts within 1 h",
                "short",
                (
                    ("sum by (outcome) (increase(shipway_verdicts_total[1h]))", "{{outcome}}"),
                    ("sum by (gate) (increase(shipway_gates_failed_total[1h]))", "failed: {{gate}}"),
                ),
            ),
            Panel(
                "Releases under way",
                "short",
                ((f"sum by (model, state) (shipway_releases_open{{{_OF_MODEL}}})", "{{model}} {{state}}"),),
            ),
            Panel(
                "Releases ended within 1 h",
                "short",
                (
                    (
                        f"sum by (model, state) (increase(shipway_releases_total{{{_OF_MODEL}}}[1h]))",
                        "{{model}} {{state}}",
                    ),
                ),
            ),
            Panel(
                "Seconds from approval to champion",
                "s",
                ((_quantile(0.9, "shipway_release_seconds", _OF_MODEL), "p90"),),
            ),
        ),
    ),
    (
        "Prediction log, labels and history",
        (
            Panel(
                "Log",
                "reqps",
                (
                    (_rate("shipway_predictions_logged_total", "model", _OF_MODEL), "{{model}} logged"),
                    (_rate("shipway_predictions_dropped_total", "model", _OF_MODEL), "{{model}} dropped"),
                ),
            ),
            Panel(
                "Waiting",
                "bytes",
                (
                    ("sum(shipway_prediction_log_spool_bytes)", "for Kafka"),
                    ("sum(shipway_history_waiting_bytes)", "for a file of the history"),
                ),
            ),
            Panel("Seconds that the monitor is behind", "s", (("max(shipway_log_behind_seconds)", "behind"),)),
            Panel("Labels", "ops", ((_rate("shipway_labels_total", "what"), "{{what}}"),)),
        ),
    ),
    (
        "Events",
        (
            Panel("Consumed", "ops", ((_rate("shipway_events_consumed_total", "type"), "{{type}}"),)),
            Panel(
                "Dead letters",
                "ops",
                ((_rate("shipway_dead_letters_total", "topic"), "{{topic}}"),),
            ),
            Panel("Published", "ops", ((_rate("shipway_outbox_published_total", "service"), "{{service}}"),)),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana provisions it; ids and places follow from the order of ROWS."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS:
        place = {"x": 0, "y": y, "w": _WIDTH * _PER_ROW, "h": 1}
        panels.append({"id": len(panels) + 1, "type": "row", "title": title, "gridPos": place, "collapsed": False})
        y += 1
        for n, panel in enumerate(row):
            place = {"x": n % _PER_ROW * _WIDTH, "y": y + n // _PER_ROW * _HEIGHT, "w": _WIDTH, "h": _HEIGHT}
            panels.append(_panel(panel, len(panels) + 1, place))
        y += -(-len(row) // _PER_ROW) * _HEIGHT
    model = {
        "name": "model",
        "label": "Model",
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": "label_values(shipway_desired_state_generation, model)", "refId": "model"},
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }
    return {
        "uid": UID,
        "title": "Shipway",
        "tags": ["shipway"],
        "schemaVersion": 41,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [model]},
        "panels": panels,
    }


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + n), "datasource": _SOURCE, "expr": expr, "legendFormat": legend, "range": True}
        for n, (expr, legend) in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": targets,
    }

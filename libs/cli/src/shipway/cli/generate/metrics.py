"""What the services show at ``/metrics``, found in the code that counts it, and the page that says so."""

import importlib
import inspect
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from prometheus_client.metrics import MetricWrapperBase

from shipway.contract.topics import SERVICES

# Of what services share, each has the part that it imports.
_SHARED = {
    "shipway.runtime.metrics": "every service",
    "shipway.runtime.patience": "every service",
    "shipway.runtime.guard": "services that people call",
    "shipway.runtime.prediction_metrics": "predictor and gateway",
}


@dataclass(frozen=True)
class Metric:
    """A metric: the name that PromQL asks for (without ``_bucket`` and the like), and who shows it (``where``)."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str
    where: str

    @property
    def series(self) -> frozenset[str]:
        """The names under which its samples are stored."""
        if self.kind == "histogram":
            return frozenset({f"{self.name}_bucket", f"{self.name}_sum", f"{self.name}_count"})
        return frozenset({self.name})


def metrics() -> tuple[Metric, ...]:
    """Every metric of every service: those of several services first, then by service and name.

    Raises:
        KeyError: a module that services share has metrics, and _SHARED does not say which services those are.
    """
    for service in SERVICES:
        importlib.import_module(f"shipway.{service}.app")
    found = {}
    for name, module in sorted(sys.modules.items()):
        if name.startswith("shipway."):
            for value in vars(module).values():
                if isinstance(value, MetricWrapperBase) and f'"{_name(value)}"' in inspect.getsource(module):
                    found[_name(value)] = _metric(value, name)
    order = [*_SHARED.values(), *SERVICES]
    return tuple(sorted(found.values(), key=lambda m: (order.index(m.where), m.name)))


def page() -> str:
    """The reference of metrics."""
    lines = [
        "# Metrics",
        "",
        "Made by `make docs` from the code that counts them. Each service shows its own at `GET /metrics`, for",
        "Prometheus; the gateway's are of all its workers together. What Grafana makes of them, and when Prometheus",
        "raises an alert: [operations.md](operations.md#dashboard-and-alert-rules).",
    ]
    head = ["", "| metric | kind | labels | what it is |", "|---|---|---|---|"]
    for where, group in groupby(metrics(), key=lambda m: m.where):
        lines += ["", f"## {where[0].upper()}{where[1:]}", *head]
        lines += [f"| `{m.name}` | {m.kind} | {_listed(m.labels)} | {m.help} |" for m in group]
    return "\n".join(lines) + "\n"


def _listed(labels: Iterable[str]) -> str:
    return ", ".join(f"`{label}`" for label in labels)


def _name(metric: MetricWrapperBase) -> str:
    (family,) = metric.describe()
    return f"{family.name}_total" if family.type == "counter" else family.name


def _metric(metric: MetricWrapperBase, module: str) -> Metric:
    (family,) = metric.describe()
    service = module.split(".")[1]
    where = service if service in SERVICES else _SHARED[module]
    return Metric(_name(metric), family.type, tuple(metric._labelnames), family.documentation, where)

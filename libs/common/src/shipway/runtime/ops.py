"""What every service answers over HTTP: is it alive, can it do its work, and how is it doing."""

import os
from collections.abc import Callable

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest, multiprocess

from shipway.runtime import metrics

Check = Callable[[], str | None]
OPS_PATHS = frozenset({"/livez", "/readyz", "/metrics"})


class Readiness:
    """The reasons why a service can't do its work now; none means that it can."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._reports: dict[str, str] = {"start": "starting"}

    def check(self, name: str, check: Check) -> None:
        """Adds a check that gives a reason, or None when all is well."""
        self._checks[name] = check

    def report(self, name: str, reason: str | None) -> None:
        """Says what stands in the way (or None: nothing any more)."""
        if reason is None:
            self._reports.pop(name, None)
        else:
            self._reports[name] = reason

    def problems(self) -> dict[str, str]:
        """Every reason, by name."""
        found = dict(self._reports)
        for name, check in self._checks.items():
            reason = check()
            if reason is not None:
                found[name] = reason
        return found


def add_ops_routes(app: FastAPI, readiness: Readiness) -> None:
    """Adds /livez, /readyz and /metrics to a service's app."""

    @app.get("/livez", tags=["operations"], summary="The process runs")
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz", tags=["operations"], summary="The service can do its work", responses={503: {}})
    async def readyz() -> Response:
        problems = readiness.problems()
        metrics.READY.set(not problems)
        if problems:
            return JSONResponse({"status": "not ready", "reasons": problems}, 503)
        return JSONResponse({"status": "ready"})

    @app.get("/metrics", tags=["operations"], summary="Prometheus metrics", response_class=Response)
    async def metrics_page() -> Response:
        metrics.READY.set(not readiness.problems())
        return Response(_page(), media_type=CONTENT_TYPE_LATEST)


def _page() -> bytes:
    """The metrics of this process, or of all workers together."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest()
    together = CollectorRegistry()
    multiprocess.MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    return generate_latest(together)

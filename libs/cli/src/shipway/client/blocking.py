"""The same client for code that blocks: every call runs the async one to its end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from shipway.client.addresses import Addresses
from shipway.client.answers import KnownLabel, Predictions
from shipway.client.client import AsyncShipway
from shipway.client.frames import Frame
from shipway.client.journey import Journey
from shipway.contract.events import CommandAnswered, OperatorAction, ReplayCompleted, SubjectForgotten
from shipway.contract.spec import ModelSpec
from shipway.runtime.objects import ObjectStore

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


class Shipway:
    """Shipway, for scripts and notebooks; a context manager. Methods and errors are those of AsyncShipway."""

    def __init__(self, addresses: Addresses | None = None, *, timeout_s: float = 10.0) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncShipway(addresses, timeout_s=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._run(self._client.__aexit__(None, None, None))
        self._runner.close()

    def declare(self, model_file: str | Path | ModelSpec) -> ModelSpec:
        """See AsyncShipway.declare."""
        return self._run(self._client.declare(model_file))

    def train(
        self,
        model: str,
        *,
        until: datetime | None = None,
        reason: str = "asked for",
        wait: bool = True,
        on_progress: Callable[[Journey], None] = lambda _: None,
    ) -> Journey:
        """Requests a training; with ``wait`` returns when the version serves (or will not), else once accepted."""
        if wait:
            return self._run(_last(self._client.train(model, until=until, reason=reason), on_progress))
        return self._run(self._client.request_training(model, until=until, reason=reason))

    def search(
        self,
        model: str,
        *,
        until: datetime | None = None,
        trials: int | None = None,
        time_limit_s: float | None = None,
        candidates: int | None = None,
        reason: str = "asked for",
        on_progress: Callable[[Journey], None] = lambda _: None,
    ) -> Journey:
        """See AsyncShipway.search; returns when the search is over."""
        journeys = self._client.search(
            model, until=until, trials=trials, time_limit_s=time_limit_s, candidates=candidates, reason=reason
        )
        return self._run(_last(journeys, on_progress))

    def import_model(
        self,
        model: str,
        store: ObjectStore,
        files: Mapping[str, bytes],
        *,
        until: datetime | None = None,
        reason: str = "asked for",
        on_progress: Callable[[Journey], None] = lambda _: None,
    ) -> Journey:
        """See AsyncShipway.import_model; returns when the version serves, or will not."""
        return self._run(_last(self._client.import_model(model, store, files, until=until, reason=reason), on_progress))

    def cancel(self, model: str, request_id: str) -> None:
        """See AsyncShipway.cancel."""
        self._run(self._client.cancel(model, request_id))

    def command(
        self, model: str, action: OperatorAction, *, version: int | None = None, reason: str = ""
    ) -> CommandAnswered:
        """See AsyncShipway.command."""
        return self._run(self._client.command(model, action, version=version, reason=reason))

    def retry(self, model: str, request_id: str, *, stage: str | None = None) -> None:
        """See AsyncShipway.retry."""
        self._run(self._client.retry(model, request_id, stage=stage))

    def jobs(self, *, model: str | None = None, state: str | None = None, limit: int = 50) -> list[dict[str, Any]]:
        """See AsyncShipway.jobs."""
        return self._run(self._client.jobs(model=model, state=state, limit=limit))

    def job(self, request_id: str) -> dict[str, Any]:
        """See AsyncShipway.job."""
        return self._run(self._client.job(request_id))

    def job_log(self, request_id: str, stage: str | None = None) -> dict[str, Any]:
        """See AsyncShipway.job_log."""
        return self._run(self._client.job_log(request_id, stage))

    def forget(self, model: str, subject: str, *, reason: str = "", answer_within_s: float = 300.0) -> SubjectForgotten:
        """See AsyncShipway.forget."""
        return self._run(self._client.forget(model, subject, reason=reason, answer_within_s=answer_within_s))

    def replay(
        self,
        model: str,
        version: int,
        *,
        start: datetime,
        end: datetime,
        limit: int = 10_000,
        reason: str = "",
        answer_within_s: float = 900.0,
    ) -> ReplayCompleted:
        """See AsyncShipway.replay."""
        how: dict[str, Any] = {"limit": limit, "reason": reason, "answer_within_s": answer_within_s}
        return self._run(self._client.replay(model, version, start=start, end=end, **how))

    def predict(
        self,
        model: str,
        rows: "Sequence[Mapping[str, Any]] | pd.DataFrame",
        *,
        client_ids: Sequence[str] | None = None,
        explain: bool = False,
    ) -> Predictions:
        """See AsyncShipway.predict."""
        return self._run(self._client.predict(model, rows, client_ids=client_ids, explain=explain))

    def predict_several(
        self,
        models: Sequence[str] | str,
        rows: "Sequence[Mapping[str, Any]] | pd.DataFrame",
        *,
        aggregate: Literal["all", "first", "mean", "vote"] = "all",
        require: Literal["all", "any"] | int = "all",
        timeout_ms: int | Mapping[str, int] | None = None,
        later: bool = False,
    ) -> dict[str, Any]:
        """See AsyncShipway.predict_several."""
        return self._run(
            self._client.predict_several(
                models, rows, aggregate=aggregate, require=require, timeout_ms=timeout_ms, later=later
            )
        )

    def result(self, result_id: str) -> dict[str, Any]:
        """See AsyncShipway.result."""
        return self._run(self._client.result(result_id))

    def feedback(
        self, model: str, prediction_id: str, label: str | float | bool, observed_at: datetime | None = None
    ) -> None:
        """See AsyncShipway.feedback."""
        self._run(self._client.feedback(model, prediction_id, label, observed_at))

    def feedback_many(self, model: str, labels: Sequence[KnownLabel]) -> int:
        """See AsyncShipway.feedback_many."""
        return self._run(self._client.feedback_many(model, labels))

    def put_features(
        self, table: str, rows: Iterable[Mapping[str, Any]], *, key: str, at: datetime | None = None
    ) -> int:
        """See AsyncShipway.put_features."""
        return self._run(self._client.put_features(table, rows, key=key, at=at))

    def features(self, table: str, key: str) -> dict[str, Any]:
        """See AsyncShipway.features."""
        return self._run(self._client.features(table, key))

    def feature_tables(self) -> dict[str, Any]:
        """See AsyncShipway.feature_tables."""
        return self._run(self._client.feature_tables())

    def forget_features(self, table: str, keys: Sequence[str]) -> None:
        """See AsyncShipway.forget_features."""
        self._run(self._client.forget_features(table, keys))

    def quality(self, name: str, days: int | None = None) -> dict[str, Any]:
        """See AsyncShipway.quality."""
        return self._run(self._client.quality(name, days))

    def monitoring(self, name: str) -> dict[str, Any]:
        """See AsyncShipway.monitoring."""
        return self._run(self._client.monitoring(name))

    def levels(self, name: str) -> dict[str, Any]:
        """See AsyncShipway.levels."""
        return self._run(self._client.levels(name))

    def alerts(self, model: str | None = None, *, ended: bool = False) -> list[dict[str, Any]]:
        """See AsyncShipway.alerts."""
        return self._run(self._client.alerts(model, ended=ended))

    def acknowledge_alert(self, alert_id: str, note: str = "") -> None:
        """See AsyncShipway.acknowledge_alert."""
        self._run(self._client.acknowledge_alert(alert_id, note))

    def silence_alerts(
        self, lasts: str, *, model: str | None = None, kind: str | None = None, reason: str = ""
    ) -> dict[str, Any]:
        """See AsyncShipway.silence_alerts."""
        return self._run(self._client.silence_alerts(lasts, model=model, kind=kind, reason=reason))

    def silences(self) -> list[dict[str, Any]]:
        """See AsyncShipway.silences."""
        return self._run(self._client.silences())

    def end_silence(self, silence_id: int) -> None:
        """See AsyncShipway.end_silence."""
        self._run(self._client.end_silence(silence_id))

    def dead_letters(self, service: str | None = None) -> list[dict[str, Any]]:
        """See AsyncShipway.dead_letters."""
        return self._run(self._client.dead_letters(service))

    def dead_letter(self, letter_id: int) -> dict[str, Any]:
        """See AsyncShipway.dead_letter."""
        return self._run(self._client.dead_letter(letter_id))

    def send_again(self, letter_id: int) -> None:
        """See AsyncShipway.send_again."""
        self._run(self._client.send_again(letter_id))

    def models(self) -> list[dict[str, Any]]:
        """See AsyncShipway.models."""
        return self._run(self._client.models())

    def model(self, name: str) -> dict[str, Any]:
        """See AsyncShipway.model."""
        return self._run(self._client.model(name))

    def report(self, name: str, version: int) -> dict[str, Any]:
        """See AsyncShipway.report."""
        return self._run(self._client.report(name, version))

    def report_page(self, name: str, version: int) -> str:
        """See AsyncShipway.report_page."""
        return self._run(self._client.report_page(name, version))

    def compare(self, name: str, a: int, b: int) -> dict[str, Any]:
        """See AsyncShipway.compare."""
        return self._run(self._client.compare(name, a, b))

    def usage(self, name: str) -> dict[str, Any]:
        """See AsyncShipway.usage."""
        return self._run(self._client.usage(name))

    def history(self, name: str, day: date | None = None) -> dict[str, Any]:
        """See AsyncShipway.history."""
        return self._run(self._client.history(name, day))

    def predictions(self, name: str, since: datetime | None = None, until: datetime | None = None) -> Frame:
        """See AsyncShipway.predictions."""
        return self._run(self._client.predictions(name, since, until))

    def labels(self, name: str, since: datetime | None = None, until: datetime | None = None) -> Frame:
        """See AsyncShipway.labels."""
        return self._run(self._client.labels(name, since, until))

    def versions(self, name: str) -> Frame:
        """See AsyncShipway.versions."""
        return self._run(self._client.versions(name))

    def evaluations(self, name: str) -> Frame:
        """See AsyncShipway.evaluations."""
        return self._run(self._client.evaluations(name))

    def instances(self) -> dict[str, Any]:
        """See AsyncShipway.instances."""
        return self._run(self._client.instances())

    def status(self) -> dict[str, Any]:
        """See AsyncShipway.status."""
        return self._run(self._client.status())

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(call)


async def _last(journeys: AsyncIterator[Journey], on_progress: Callable[[Journey], None]) -> Journey:
    last: Journey | None = None
    async for last in journeys:
        on_progress(last)
    assert last is not None, "the first step is the request itself"
    return last

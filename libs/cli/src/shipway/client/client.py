"""The async client: events over Kafka, predictions and look-ups over HTTP."""

import asyncio
import getpass
import hashlib
import os
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import quote, urlencode

import httpx

from shipway.client import frames
from shipway.client.asking import asked_for
from shipway.client.command import BY_MONITOR, BY_RELEASER, give, new_command_id
from shipway.client.comparison import compare
from shipway.client.errors import Refused, ShipwayError, Unreachable
from shipway.client.follow import Followed, following
from shipway.client.frames import Frame
from shipway.client.journey import Journey
from shipway.contract import topics
from shipway.contract.commandseal import seal
from shipway.contract.envelope import Envelope, WireMessage, encode
from shipway.contract.errors import Permanent, Transient
from shipway.contract.events import (
    CommandAnswered,
    ModelDeclared,
    ModelImportRequested,
    OperatorAction,
    OperatorCommand,
    Payload,
    SearchRequested,
    SubjectForgetRequested,
    SubjectForgotten,
    TrainingCancelRequested,
    TrainingRequested,
    TrainingRetryRequested,
)
from shipway.contract.signature import Signature, parse_signature
from shipway.contract.spec import ModelSpec, parse_toml, to_builtins
from shipway.runtime import trace
from shipway.runtime.kafka import Producer
from shipway.runtime.objects import ObjectStore, open_store
from shipway.runtime.settings import KafkaSettings, ObjectsSettings, objects_from_environment

JOURNEY_TOPICS = (topics.TRAINING_EVENTS, topics.EVALUATION_EVENTS, topics.RELEASE_EVENTS)
LABELS_A_REQUEST = 1000


@dataclass(frozen=True)
class Addresses:
    """Where Shipway is. Predictions need only the gateway; look-ups the monitor (and of jobs the trainer);
    declaring and training Kafka; predictions and labels on record the object store.

    The URLs come from SHIPWAY_GATEWAY_URL, SHIPWAY_MONITOR_URL and SHIPWAY_TRAINER_URL where they are not given.
    ``token`` opens gateway, monitor and trainer where they ask for one, ``operator_key`` signs commands; both come from
    the environment (SHIPWAY_TOKEN, SHIPWAY__AUTH__OPERATOR_KEY) where they are not given.
    """

    gateway: str = field(default_factory=lambda: os.environ.get("SHIPWAY_GATEWAY_URL", "http://127.0.0.1:8080"))
    monitor: str = field(default_factory=lambda: os.environ.get("SHIPWAY_MONITOR_URL", "http://127.0.0.1:8090"))
    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    token: str | None = field(default_factory=lambda: os.environ.get("SHIPWAY_TOKEN"), repr=False)
    operator_key: str | None = field(default_factory=lambda: os.environ.get("SHIPWAY__AUTH__OPERATOR_KEY"), repr=False)
    trainer: str = field(default_factory=lambda: os.environ.get("SHIPWAY_TRAINER_URL", "http://127.0.0.1:8101"))
    objects: ObjectsSettings = field(default_factory=objects_from_environment)

    def headers(self) -> dict[str, str]:
        """What goes with every request.

        Raises:
            ShipwayError: the token is none.
        """
        token = (self.token or "").strip()
        if not (token.isascii() and token.isprintable()):
            raise ShipwayError("the token (SHIPWAY_TOKEN, --token) holds characters that no token has")
        return {"authorization": f"Bearer {token}"} if token else {}


@dataclass(frozen=True)
class Prediction:
    """One row's answer. ``label`` and ``probability`` (binary) or ``probabilities`` (multiclass), or ``value``."""

    id: str
    label: str | None = None
    probability: float | None = None
    probabilities: dict[str, float] | None = None
    value: float | None = None
    base: float | dict[str, float] | None = None
    contributions: dict[str, Any] | None = None


@dataclass(frozen=True)
class KnownLabel:
    """A prediction's true label, for ``feedback_many``; ``observed_at``: when it became known, by default now."""

    prediction_id: str
    label: str | float | bool
    observed_at: datetime | None = None


@dataclass(frozen=True)
class Predictions:
    """The answers, in the order of the rows, and the version that gave them."""

    model: str
    version: int
    predictions: list[Prediction]


class AsyncShipway:
    """Shipway, for async code; an async context manager."""

    def __init__(self, addresses: Addresses | None = None, *, timeout_s: float = 10.0) -> None:
        self.addresses = addresses or Addresses()
        self._http = httpx.AsyncClient(timeout=timeout_s, headers=self.addresses.headers())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def declare(self, model_file: str | Path | ModelSpec) -> ModelSpec:
        """Declares a model, by its file or its spec, and returns once the broker has it.

        Raises:
            contract.spec.InvalidSpec: names every wrong field. Unreachable: the broker does not answer.
        """
        spec = model_file if isinstance(model_file, ModelSpec) else parse_toml(await _read(Path(model_file)))
        async with self._producing() as producer:
            await _publish(
                producer,
                ModelDeclared(model=spec.name, spec=to_builtins(spec), declared_by=_whoami()),
                uuid.uuid4().hex,
            )
        return spec

    async def request_training(
        self, model: str, *, until: datetime | None = None, reason: str = "asked for"
    ) -> Journey:
        """Publishes a TrainingRequested and returns once the trainer has recorded it (or has refused it).

        Raises:
            Unreachable: the broker or the trainer does not answer.
        """
        async for journey in self.train(model, until=until, reason=reason):
            if journey.state != "requested":
                return journey
        raise ShipwayError("the training's events ended")  # pragma: no cover  (train ends with an end state)

    async def train(
        self, model: str, *, until: datetime | None = None, reason: str = "asked for", accept_within_s: float = 30.0
    ) -> AsyncIterator[Journey]:
        """Publishes a TrainingRequested and gives the journey at each step, until it ends.

        The request is asked again, under the same event id, until the trainer says that it has it: only then
        it can't be lost. ``until`` takes in the data before it; None takes all.

        Raises:
            Unreachable: the broker does not answer, or no trainer takes the request in ``accept_within_s``.
        """
        journey = Journey(request_id=uuid.uuid4().hex, model=model)
        request = TrainingRequested(
            model=model, request_id=journey.request_id, until=until, reason=reason, requested_by=_whoami()
        )
        async for step in self._asked(request, journey, accept_within_s):
            yield step

    async def search(
        self,
        model: str,
        *,
        until: datetime | None = None,
        trials: int | None = None,
        time_limit_s: float | None = None,
        candidates: int | None = None,
        reason: str = "asked for",
        accept_within_s: float = 30.0,
    ) -> AsyncIterator[Journey]:
        """Asks for a search for better parameters, and gives its journey until it found some ("searched") or failed.

        The journey's ``candidates`` are then trained and judged, each by a request of its own, and wait for approval.
        ``trials``, ``time_limit_s``, ``candidates``: by default what the model file's section [search] says. Raises as
        train does.
        """
        journey = Journey(request_id=uuid.uuid4().hex, model=model)
        request = SearchRequested(
            model=model,
            request_id=journey.request_id,
            until=until,
            trials=trials,
            time_limit_s=time_limit_s,
            candidates=candidates,
            reason=reason,
            requested_by=_whoami(),
        )
        async for step in self._asked(request, journey, accept_within_s):
            yield step

    async def _asked(
        self, request: TrainingRequested | SearchRequested, journey: Journey, accept_within_s: float
    ) -> AsyncIterator[Journey]:
        async with following(self.addresses.kafka, JOURNEY_TOPICS) as follower, self._producing() as producer:
            send = partial(_publish, producer, request, request.request_id)
            async for step in asked_for(aiter(follower), journey, send, accept_within_s):
                yield step

    async def import_model(
        self,
        model: str,
        store: ObjectStore,
        files: Mapping[str, bytes],
        *,
        until: datetime | None = None,
        reason: str = "asked for",
        accept_within_s: float = 30.0,
    ) -> AsyncIterator[Journey]:
        """Has a version made of a LightGBM model that was trained elsewhere, and gives its journey, until it ends.

        ``files`` are "model.txt" and "signature.json", and where there are golden rows "golden.parquet" (see
        docs/import.md). They are put into Shipway's object store; the command that names them by hash is signed where
        there is an operator key.

        Raises:
            Unreachable: broker or trainer do not answer. Transient: the store does not.
        """
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        for name, data in files.items():
            await asyncio.to_thread(store.put, f"imports/{digests[name]}", data)
        journey = Journey(request_id=uuid.uuid4().hex, model=model)
        command = ModelImportRequested(
            model=model,
            request_id=journey.request_id,
            files=digests,
            until=until,
            reason=reason,
            requested_by=_whoami(),
        )
        async for step in self._commanded(command, journey, accept_within_s):
            yield step

    async def _commanded(self, command: Payload, journey: Journey, accept_within_s: float) -> AsyncIterator[Journey]:
        message = self._signed(command)
        async with following(self.addresses.kafka, JOURNEY_TOPICS) as follower, self._producing() as producer:
            send = partial(_send_command, producer, message)
            async for step in asked_for(aiter(follower), journey, send, accept_within_s):
                yield step

    async def cancel(self, model: str, request_id: str) -> None:
        """Asks for the end of a training; signed where there is an operator key."""
        await self._command(TrainingCancelRequested(model=model, request_id=request_id, requested_by=_whoami()))

    async def retry(self, model: str, request_id: str, *, stage: str | None = None) -> None:
        """Asks for a failed or cancelled job to be run again, from the stage that failed, or from ``stage``.

        Signed where there is an operator key. Stages that are done and whose inputs are the same stay done.
        """
        who = _whoami()
        await self._command(
            TrainingRetryRequested(model=model, request_id=request_id, requested_by=who, stage=stage or "")
        )

    async def run_again(
        self, model: str, request_id: str, *, stage: str | None = None, accept_within_s: float = 30.0
    ) -> AsyncIterator[Journey]:
        """As retry, and gives the journey of the job that is run again at each step, until it ends. Raises as train."""
        command = TrainingRetryRequested(model=model, request_id=request_id, requested_by=_whoami(), stage=stage or "")
        async for step in self._commanded(command, Journey(request_id=request_id, model=model), accept_within_s):
            yield step

    async def jobs(
        self, *, model: str | None = None, state: str | None = None, limit: int = 50
    ) -> list[dict[str, Any]]:
        """The newest training jobs, as the trainer has them.

        Raises:
            Refused: an unknown state. Unreachable: the trainer does not answer.
        """
        asked = {name: value for name, value in (("model", model), ("state", state), ("limit", limit)) if value}
        found = await self._call("GET", f"{self.addresses.trainer}/api/jobs?{urlencode(asked)}")
        jobs: list[dict[str, Any]] = found["jobs"]
        return jobs

    async def job(self, request_id: str) -> dict[str, Any]:
        """One job with its stages. Raises Refused where there is none, Unreachable as jobs does."""
        found: dict[str, Any] = await self._call(
            "GET", f"{self.addresses.trainer}/api/jobs/{quote(request_id, safe='')}"
        )
        return found

    async def job_log(self, request_id: str, stage: str | None = None) -> dict[str, Any]:
        """The end of the log of a job's stage, by default of the one that it came to. Raises as job does."""
        path = f"/api/jobs/{quote(request_id, safe='')}/log" + (f"?{urlencode({'stage': stage})}" if stage else "")
        found: dict[str, Any] = await self._call("GET", self.addresses.trainer + path)
        return found

    async def _command(self, command: Payload) -> None:
        async with self._producing() as producer:
            await _send_command(producer, self._signed(command))

    def _signed(self, command: Payload) -> WireMessage:
        span = trace.child(trace.current())
        message = encode(Envelope(uuid.uuid4().hex, "shipway/client", datetime.now(UTC), command, span))
        return seal(message, self.addresses.operator_key.encode()) if self.addresses.operator_key else message

    async def command(
        self,
        model: str,
        action: OperatorAction,
        *,
        version: int | None = None,
        reason: str = "",
        answer_within_s: float = 30.0,
    ) -> CommandAnswered:
        """Gives a command over a model's releases, and waits until it is obeyed, or refused (``done`` is False).

        Signed where there is an operator key; ``version``: by default the one that the command is plainly about.

        Raises:
            ShipwayError: it does not count, such as without the right signature.
            Unreachable: the broker or the releaser does not answer.
        """
        asked = OperatorCommand(
            model=model,
            command_id=new_command_id(),
            action=action,
            version=version,
            reason=reason,
            requested_by=_whoami(),
        )
        async with self._producing() as producer:
            key = self.addresses.operator_key
            return await give(self.addresses.kafka, producer, asked, key, answer_within_s, BY_RELEASER)

    async def forget(
        self, model: str, subject: str, *, reason: str = "", answer_within_s: float = 300.0
    ) -> SubjectForgotten:
        """Has the records of a subject removed: of predictions whose client id is ``subject``, or begins with it and a
        slash. Returns once they are gone, with how many there were. Raises as ``command`` does.
        """
        asked = SubjectForgetRequested(
            model=model, command_id=new_command_id(), subject=subject, reason=reason, requested_by=_whoami()
        )
        async with self._producing() as producer:
            key = self.addresses.operator_key
            return await give(self.addresses.kafka, producer, asked, key, answer_within_s, BY_MONITOR)

    async def predict(
        self,
        model: str,
        rows: Sequence[Mapping[str, Any]],
        *,
        client_ids: Sequence[str] | None = None,
        explain: bool = False,
    ) -> Predictions:
        """Predictions for rows of named features; ``explain`` asks for what each feature contributed.

        Raises:
            Refused: with every wrong field. Unreachable: the gateway does not answer.
        """
        body: dict[str, Any] = {"rows": list(rows)}
        if client_ids is not None:
            body["client_ids"] = list(client_ids)
        if explain:
            body["explain"] = True
        answer = await self._call("POST", f"{self.addresses.gateway}/predict/{model}", body)
        return Predictions(answer["model"], answer["version"], [Prediction(**p) for p in answer["predictions"]])

    async def predict_several(
        self,
        models: Sequence[str] | str,
        rows: Sequence[Mapping[str, Any]],
        *,
        aggregate: Literal["all", "first", "mean", "vote"] = "all",
        require: Literal["all", "any"] | int = "all",
        timeout_ms: int | Mapping[str, int] | None = None,
        later: bool = False,
    ) -> dict[str, Any]:
        """What several models say of the same rows: those that are named, or those that declare a group (a name alone).

        The answer is as docs/predictions.md has it; with ``later`` it is the ``id`` for ``result``.

        Raises:
            Refused: too few answered, with every model's reason, or a wrong field. Unreachable: as of predict.
        """
        body: dict[str, Any] = {"rows": list(rows), "aggregate": aggregate, "require": require, "later": later}
        body |= {"group": models} if isinstance(models, str) else {"models": list(models)}
        if timeout_ms is not None:
            body["timeout_ms"] = timeout_ms if isinstance(timeout_ms, int) else dict(timeout_ms)
        answer: dict[str, Any] = await self._call("POST", f"{self.addresses.gateway}/predict", body)
        return answer

    async def result(self, result_id: str) -> dict[str, Any]:
        """A result by its id: its ``status`` is pending, answered or failed.

        Raises:
            Refused: 404 it is not known any more, 410 it was lost and must be asked again. Unreachable: as of predict.
        """
        found: dict[str, Any] = await self._call("GET", f"{self.addresses.gateway}/results/{quote(result_id, safe='')}")
        return found

    async def feedback(
        self, model: str, prediction_id: str, label: str | float | bool, observed_at: datetime | None = None
    ) -> None:
        """Tells the true label of a prediction. Raises as predict does."""
        moment = (observed_at or datetime.now(UTC)).isoformat()
        body = {"model": model, "prediction_id": prediction_id, "label": label, "observed_at": moment}
        await self._call("POST", f"{self.addresses.gateway}/feedback", body)

    async def feedback_many(self, model: str, labels: Sequence[KnownLabel]) -> int:
        """Tells the true labels of many predictions; gives how many were taken, all of them. Raises as predict does.

        After an error some may have been taken: tell all of them again, a label counts once.
        """
        taken, url = 0, f"{self.addresses.gateway}/feedback"
        for begin in range(0, len(labels), LABELS_A_REQUEST):
            part = [_label_body(label) for label in labels[begin : begin + LABELS_A_REQUEST]]
            taken += (await self._call("POST", url, {"model": model, "labels": part}))["labels"]
        return taken

    async def quality(self, name: str, days: int | None = None) -> dict[str, Any]:
        """How good a model's versions are by the labels that are known: coverage, maturity, loss over time."""
        return await self._look(f"/api/models/{name}/quality" + (f"?days={days}" if days else ""))

    async def monitoring(self, name: str) -> dict[str, Any]:
        """Whether a model's predictions are as usual: the newest finding of each kind, with those before."""
        return await self._look(f"/api/models/{name}/monitoring")

    async def levels(self, name: str) -> dict[str, Any]:
        """A model's service levels: targets, what kept them, error budgets, what is overdue."""
        return await self._look(f"/api/models/{name}/levels")

    async def alerts(self, model: str | None = None, *, ended: bool = False) -> list[dict[str, Any]]:
        """Open alerts, the newest first; with ``ended`` those that are over too."""
        query = {"ended": str(ended).lower()} | ({"model": model} if model is not None else {})
        found: list[dict[str, Any]] = (await self._look(f"/api/alerts?{urlencode(query)}"))["alerts"]
        return found

    async def acknowledge_alert(self, alert_id: str, note: str = "") -> None:
        """Says that somebody looks after an open alert: it is not told again until it ends. Refused: there is none."""
        url = f"{self.addresses.monitor}/api/alerts/{quote(alert_id, safe='')}/ack"
        await self._call("POST", url, {"by": _whoami(), "note": note})

    async def silence_alerts(
        self, lasts: str, *, model: str | None = None, kind: str | None = None, reason: str = ""
    ) -> dict[str, Any]:
        """Keeps alerts from being delivered for a time such as "2h": of a model, of a kind, or all."""
        body = {"lasts": lasts, "model": model, "kind": kind, "by": _whoami(), "reason": reason}
        made: dict[str, Any] = await self._call("POST", f"{self.addresses.monitor}/api/silences", body)
        return made

    async def silences(self) -> list[dict[str, Any]]:
        """The silences that last."""
        found: list[dict[str, Any]] = (await self._look("/api/silences"))["silences"]
        return found

    async def end_silence(self, silence_id: int) -> None:
        """Ends a silence now. Refused: there is none that lasts."""
        await self._call("DELETE", f"{self.addresses.monitor}/api/silences/{silence_id}")

    async def models(self) -> list[dict[str, Any]]:
        """Every model, as the monitor knows it."""
        found: list[dict[str, Any]] = (await self._look("/api/models"))["models"]
        return found

    async def model(self, name: str) -> dict[str, Any]:
        """One model: its spec, versions, gates and figures."""
        return await self._look(f"/api/models/{name}")

    async def report(self, name: str, version: int) -> dict[str, Any]:
        """The evaluation report on a version: verdict, gates, figures, and which data they come from."""
        return await self._look(f"/api/models/{name}/versions/{version}/report")

    async def report_page(self, name: str, version: int) -> str:
        """The same as one HTML page that needs nothing else."""
        answer = await self._answer("GET", f"{self.addresses.monitor}/api/models/{name}/versions/{version}/report.html")
        return answer.text

    async def compare(self, name: str, a: int, b: int) -> dict[str, Any]:
        """Two versions' reports side by side, see client.comparison."""
        return compare(await self.report(name, a), await self.report(name, b))

    async def usage(self, name: str) -> dict[str, Any]:
        """How many predictions of each version were answered, failed and refused, by the prediction log."""
        return await self._look(f"/api/models/{name}/usage")

    async def history(self, name: str, day: date | None = None) -> dict[str, Any]:
        """The Parquet files of a model's predictions in the object store, with rows and bytes; of one UTC day."""
        return await self._look(f"/api/models/{name}/history" + (f"?day={day}" if day else ""))

    async def predictions(self, name: str, since: datetime | None = None, until: datetime | None = None) -> Frame:
        """The records of a model's predictions from ``since`` on, before ``until``, with features as columns.

        Those that are in a file by now, which takes half a minute. See docs/operations.md for the columns.

        Raises:
            ShipwayError: the object store is away, or a file in it was changed. As history.
        """
        days: list[date | None] = [*frames.days_between(since, until)] or [None]
        found = [await self.history(name, day) for day in days]
        files = [file for one in found for file in one["files"]]
        return await self._stored(lambda store: frames.predictions(store, files, since, until))

    async def labels(self, name: str, since: datetime | None = None, until: datetime | None = None) -> Frame:
        """The labels of a model's predictions, by the time of the prediction. Raises as predictions does."""
        await self.model(name)  # a name that is no model's is refused here
        return await self._stored(lambda store: frames.labels(store, name, since, until))

    async def versions(self, name: str) -> Frame:
        """A model's versions, one a row, with their figures."""
        return frames.versions(await self.model(name))

    async def evaluations(self, name: str) -> Frame:
        """How a model's versions were judged, a row for each gate."""
        return frames.evaluations(await self.model(name))

    async def _stored(self, read: Callable[[ObjectStore], Frame]) -> Frame:
        def run() -> Frame:
            return read(open_store(self.addresses.objects))

        try:
            return await asyncio.to_thread(run)
        except (Transient, Permanent) as err:
            raise ShipwayError(f"the object store, {self.addresses.objects.url}: {err}") from err

    async def instances(self) -> dict[str, Any]:
        """The predictor instances, as the gateway's registry has them."""
        found: dict[str, Any] = await self._call("GET", f"{self.addresses.gateway}/instances")
        return found

    async def status(self) -> dict[str, Any]:
        """Models, releases in progress and instances at a glance."""
        return await self._look("/api/status")

    @asynccontextmanager
    async def events(self, *, from_start: bool = False) -> AsyncIterator[AsyncIterator[Followed]]:
        """Follows every event from now on (or from the start of what the broker keeps)."""
        carried = [t for t in topics.TOPICS if t.types and t is not topics.PRESENCE]
        async with following(self.addresses.kafka, carried, from_start=from_start) as follower:
            yield aiter(follower)

    @asynccontextmanager
    async def tail(self, model: str, *, from_start: bool = False) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """Follows the prediction log's records of a model, from now on (or from the start of what the broker keeps).

        Raises:
            Unreachable: the broker does not answer.
        """
        from shipway.client.tail import Tail  # PyArrow with it, which nothing else here needs

        async def signatures() -> dict[int, Signature]:
            try:
                served = await self._call("GET", f"{self.addresses.gateway}/models/{model}")
            except ShipwayError:
                return {}
            return {one["version"]: parse_signature(one["signature"]) for one in served["versions"]}

        async with following(self.addresses.kafka, [topics.PREDICTION_LOG], from_start=from_start) as follower:
            yield aiter(Tail(follower, model, signatures))

    async def _look(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = await self._call("GET", self.addresses.monitor + path)
        return found

    async def _call(self, method: str, url: str, body: Any = None) -> Any:
        response = await self._answer(method, url, body)
        return response.json() if response.content else None

    async def _answer(self, method: str, url: str, body: Any = None) -> httpx.Response:
        try:
            response = await self._http.request(method, url, json=body)
        except httpx.HTTPError as err:
            raise Unreachable(f"{url} does not answer: {err or type(err).__name__}") from err
        if response.is_success:
            return response
        try:
            problem = response.json()
        except ValueError:
            problem = {}
        raise Refused(response.status_code, problem if isinstance(problem, dict) else {})

    @asynccontextmanager
    async def _producing(self) -> AsyncIterator[Producer]:
        producer = Producer(self.addresses.kafka, "shipway-client")
        try:
            await producer.start()
        except Transient as err:
            raise Unreachable(str(err)) from err
        try:
            yield producer
        finally:
            await producer.stop()


async def _publish(producer: Producer, payload: Payload, event_id: str) -> None:
    try:
        await producer.publish("shipway/client", payload, event_id=event_id)
    except Transient as err:
        raise Unreachable(str(err)) from err


async def _send_command(producer: Producer, message: WireMessage) -> None:
    try:
        await producer.send(topics.OPERATOR_COMMANDS.name, message.key, message.value, message.headers)
    except Transient as err:
        raise Unreachable(str(err)) from err


def _label_body(label: KnownLabel) -> dict[str, Any]:
    moment = (label.observed_at or datetime.now(UTC)).isoformat()
    return {"prediction_id": label.prediction_id, "label": label.label, "observed_at": moment}


async def _read(path: Path) -> str:
    try:
        return await asyncio.to_thread(path.read_text, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        raise ShipwayError(f"{path}: {err}") from err


def _whoami() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"

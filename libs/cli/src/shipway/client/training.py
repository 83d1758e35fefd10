"""Declaring models, and asking for their versions: trainings, searches, imports; and their jobs."""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from shipway.bundle.uploads import key_of_upload
from shipway.client.asking import asked_for
from shipway.client.calls import Calls, publish, send_command, whoami
from shipway.client.errors import ShipwayError
from shipway.client.follow import following
from shipway.client.journey import Journey
from shipway.contract import topics
from shipway.contract.envelope import WireMessage
from shipway.contract.events import (
    ModelDeclared,
    ModelImportRequested,
    Payload,
    SearchRequested,
    TrainingCancelRequested,
    TrainingRequested,
    TrainingRetryRequested,
)
from shipway.contract.spec import ModelSpec, parse_toml, to_builtins
from shipway.runtime.objects import ObjectStore
from shipway.runtime.otel import export_until_exit

JOURNEY_TOPICS = (topics.TRAINING_EVENTS, topics.EVALUATION_EVENTS, topics.RELEASE_EVENTS)


class Training(Calls):
    """Trainings, from the declaration to the version."""

    async def declare(self, model_file: str | Path | ModelSpec) -> ModelSpec:
        """Declares a model, by its file or its spec, and returns once the broker has it.

        Raises:
            contract.spec.InvalidSpec: names every wrong field. Unreachable: the broker does not answer.
        """
        spec = model_file if isinstance(model_file, ModelSpec) else parse_toml(await _read(Path(model_file)))
        async with self._producing() as producer:
            await publish(
                producer,
                ModelDeclared(model=spec.name, spec=to_builtins(spec), declared_by=whoami()),
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
        async with aclosing(self.train(model, until=until, reason=reason)) as journeys:
            async for journey in journeys:
                if journey.state != "requested":
                    return journey
        raise ShipwayError("the training's events ended")  # pragma: no cover  (train ends with an end state)

    async def train(
        self, model: str, *, until: datetime | None = None, reason: str = "asked for", accept_within_s: float = 30.0
    ) -> AsyncGenerator[Journey, None]:
        """Publishes a TrainingRequested and gives the journey at each step, until it ends.

        The request is asked again, under the same event id, until the trainer says that it has it: only then
        it can't be lost. ``until`` takes in the data before it; None takes all.

        Raises:
            Unreachable: the broker does not answer, or no trainer takes the request in ``accept_within_s``.
        """
        journey = Journey(request_id=uuid.uuid4().hex, model=model)
        request = TrainingRequested(
            model=model, request_id=journey.request_id, until=until, reason=reason, requested_by=whoami()
        )
        async with aclosing(self._asked(request, journey, accept_within_s)) as steps:
            async for step in steps:
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
    ) -> AsyncGenerator[Journey, None]:
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
            requested_by=whoami(),
        )
        async with aclosing(self._asked(request, journey, accept_within_s)) as steps:
            async for step in steps:
                yield step

    async def _asked(
        self, request: TrainingRequested | SearchRequested, journey: Journey, accept_within_s: float
    ) -> AsyncGenerator[Journey, None]:
        export_until_exit(self.addresses.tracing, "client")
        async with following(self.addresses.kafka, JOURNEY_TOPICS) as follower, self._producing() as producer:
            send = partial(publish, producer, request, request.request_id)
            async with aclosing(asked_for(aiter(follower), journey, send, accept_within_s)) as steps:
                async for step in steps:
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
    ) -> AsyncGenerator[Journey, None]:
        """Has a version made of a LightGBM model that was trained elsewhere, and gives its journey, until it ends.

        ``files`` are "model.txt" and "signature.json", and where there are golden rows "golden.parquet" (see
        docs/import.md). They are put into Shipway's object store; the command that names them by hash is signed where
        there is an operator key.

        Raises:
            Unreachable: broker or trainer do not answer. Transient: the store does not.
        """
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        for name, data in files.items():
            await asyncio.to_thread(store.put, key_of_upload(digests[name]), data)
        journey = Journey(request_id=uuid.uuid4().hex, model=model)
        command = ModelImportRequested(
            model=model,
            request_id=journey.request_id,
            files=digests,
            until=until,
            reason=reason,
            requested_by=whoami(),
        )
        async with aclosing(self._commanded(command, journey, accept_within_s)) as steps:
            async for step in steps:
                yield step

    async def _commanded(
        self, command: Payload, journey: Journey, accept_within_s: float
    ) -> AsyncGenerator[Journey, None]:
        export_until_exit(self.addresses.tracing, "client")
        sealed: list[WireMessage] = []
        async with following(self.addresses.kafka, JOURNEY_TOPICS) as follower, self._producing() as producer:

            async def send() -> None:
                if not sealed:  # within the trace of what is asked for, and once: asked again it is the same command
                    sealed.append(self._signed(command))
                await send_command(producer, sealed[0])

            async with aclosing(asked_for(aiter(follower), journey, send, accept_within_s)) as steps:
                async for step in steps:
                    yield step

    async def cancel(self, model: str, request_id: str) -> None:
        """Asks for the end of a training; signed where there is an operator key."""
        await self._command(TrainingCancelRequested(model=model, request_id=request_id, requested_by=whoami()))

    async def retry(self, model: str, request_id: str, *, stage: str | None = None) -> None:
        """Asks for a failed or cancelled job to be run again, from the stage that failed, or from ``stage``.

        Signed where there is an operator key. Stages that are done and whose inputs are the same stay done.
        """
        who = whoami()
        await self._command(
            TrainingRetryRequested(model=model, request_id=request_id, requested_by=who, stage=stage or "")
        )

    async def run_again(
        self, model: str, request_id: str, *, stage: str | None = None, accept_within_s: float = 30.0
    ) -> AsyncGenerator[Journey, None]:
        """As retry, and gives the journey of the job that is run again at each step, until it ends. Raises as train."""
        command = TrainingRetryRequested(model=model, request_id=request_id, requested_by=whoami(), stage=stage or "")
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


async def _read(path: Path) -> str:
    try:
        return await asyncio.to_thread(path.read_text, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        raise ShipwayError(f"{path}: {err}") from err

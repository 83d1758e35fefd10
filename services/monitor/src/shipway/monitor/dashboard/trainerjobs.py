"""What the trainer says of a job: its stages, a search's trials, and the end of a stage's log.

The trainer answers for its jobs itself, and logs are looked at once; so they are asked for when a page shows them.
Without its address, or where it is away, a page shows what events told, and says so.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

MAX_BYTES = 4_000_000
TIMEOUT_S = 3.0


class Stage(msgspec.Struct, frozen=True):
    """A stage of a job, as the trainer's API has it."""

    stage: str
    state: str = ""
    attempts: int = 0
    max_attempts: int = 0
    reused: bool = False
    late: bool = False
    seconds: float | None = None
    message: str = ""
    result: dict[str, Any] | None = None


class Job(msgspec.Struct, frozen=True):
    """A job with its stages."""

    request_id: str
    state: str = ""
    origin: str = "training"
    stage: str = ""
    requested_by: str = ""
    reason: str = ""
    stages: list[Stage] = []


class Trial(msgspec.Struct, frozen=True):
    """One trial of a search."""

    params: dict[str, Any]
    state: str = ""
    figure: float | None = None
    rounds: int | None = None
    seconds: float = 0.0


class _Log(msgspec.Struct, frozen=True):
    stage: str = ""
    log: str = ""


@dataclass(frozen=True)
class Told:
    """What is known: the job (None: nothing), the log of ``stage``; ``problem``: why there is no more."""

    job: Job | None = None
    stage: str = ""
    log: str = ""
    problem: str = ""

    @property
    def trials(self) -> list[Trial]:
        """Those of a search."""
        found = [one for stage in (self.job.stages if self.job else []) for one in _listed(stage.result)]
        try:
            return msgspec.convert(found, list[Trial], strict=False)
        except msgspec.ValidationError:
            return []  # of another release


def _listed(result: dict[str, Any] | None) -> list[Any]:
    found = (result or {}).get("trials")
    return found if isinstance(found, list) else []


class TrainerJobs:
    """Asks a trainer, at ``url`` ("": none is known), with an API token where it asks for one."""

    def __init__(self, client: httpx.AsyncClient, url: str, token: str) -> None:
        self._client = client
        self._url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {token}"} if token else {}

    async def told(self, request_id: str, stage: str | None) -> Told:
        """A job, and the log of a stage, by default of the one that it came to."""
        if not self._url:
            return Told(problem=f"set SHIPWAY_MONITOR__DASHBOARD__TRAINER_URL, or see shipway jobs show {request_id}")
        path = f"/api/jobs/{quote(request_id, safe='')}"
        try:
            job = await self._asked(path, Job)
            log = await self._asked(f"{path}/log" + (f"?stage={quote(stage, safe='')}" if stage else ""), _Log)
        except (httpx.HTTPError, msgspec.DecodeError, ValueError) as err:
            return Told(problem=f"the trainer at {self._url}: {err or type(err).__name__}")
        return Told(job, log.stage, log.log)

    async def _asked(self, path: str, kind: type[Any]) -> Any:
        answer = await self._client.get(self._url + path, headers=self._headers, timeout=TIMEOUT_S)
        if answer.status_code in (401, 403):
            raise ValueError("asks for a token with the scope read: SHIPWAY_MONITOR__DASHBOARD__TRAINER_TOKEN")
        if answer.status_code != 200:
            raise ValueError(f"answered {answer.status_code}")
        if len(answer.content) > MAX_BYTES:
            raise ValueError(f"answered more than {MAX_BYTES} bytes")
        return msgspec.json.decode(answer.content, type=kind, strict=False)

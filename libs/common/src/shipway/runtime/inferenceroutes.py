"""What gateway and predictor say of themselves by the Open Inference Protocol v2: metadata and health, by FastAPI.

Inference itself is answered ahead of FastAPI by each, and documented here.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Protocol

from fastapi import FastAPI, Path
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from shipway.contract.inference import model_metadata
from shipway.contract.inferpaths import version_of
from shipway.contract.signature import Signature
from shipway.contract.versions import RELEASE
from shipway.runtime.http import Problem
from shipway.runtime.openapi import RequestTimeout, problems

_TAG: Any = ["inference protocol"]
Version = Annotated[str, Path(description="a number; every version that is held can be asked for")]


class Catalogue(Protocol):
    """What is served."""

    def unready(self) -> str | None:
        """Why the server can't do its work; None where it can."""
        ...

    def served(self, model: str) -> Mapping[int, Signature] | None:
        """A model's versions that answer now, the one that answers by default first; None where it is not known."""
        ...


class InputTensor(BaseModel):
    """A tensor of a request; without ``data`` its ``binary_data_size`` bytes follow the JSON."""

    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] = {}
    data: list[Any] | None = None


class WantedTensor(BaseModel):
    """An output that is wanted; ``binary_data`` in its parameters: as bytes behind the JSON."""

    name: str
    parameters: dict[str, Any] = {}


class InferBody(BaseModel):
    """An inference request; ``timeout`` in its parameters is in microseconds."""

    id: str = ""
    parameters: dict[str, Any] = {}
    inputs: list[InputTensor]
    outputs: list[WantedTensor] = []


class OutputTensor(BaseModel):
    """A tensor of an answer."""

    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] = {}
    data: list[Any] | None = None


class InferAnswer(BaseModel):
    """An inference answer."""

    model_name: str
    model_version: str
    id: str = ""
    outputs: list[OutputTensor]


class TensorMetadata(BaseModel):
    """A tensor that a model takes or gives; -1 is any number of rows."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """A model and its tensors."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerMetadata(BaseModel):
    """The server."""

    name: str
    version: str
    extensions: list[str]


class Live(BaseModel):
    """The process runs."""

    live: bool


class Ready(BaseModel):
    """Whether server, model or version can answer."""

    ready: bool
    name: str | None = None


def add_protocol_routes(app: FastAPI, name: str, catalogue: Catalogue, *, infer_refusals: tuple[int, ...]) -> None:
    """Adds the protocol's routes; ``infer_refusals`` are the statuses by which inference is refused here."""
    _add_server_routes(app, name, catalogue)
    _add_model_routes(app, catalogue)
    octets = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    for path in ("/v2/models/{model}/infer", "/v2/models/{model}/versions/{version}/infer"):
        app.add_api_route(
            path,
            _infer if "{version}" in path else _infer_any,
            methods=["POST"],
            tags=_TAG,
            summary="Infer",
            response_model=InferAnswer,
            responses={200: {"content": octets}, **problems(*infer_refusals)},
        )


def _add_server_routes(app: FastAPI, name: str, catalogue: Catalogue) -> None:
    metadata = ServerMetadata(name=name, version=RELEASE, extensions=["binary_tensor_data"])

    @app.get("/v2", tags=_TAG, summary="Server metadata", responses=problems())
    async def server() -> ServerMetadata:
        return metadata

    @app.get("/v2/health/live", tags=_TAG, summary="The server is alive")
    async def live() -> Live:
        return Live(live=True)

    unready: dict[int | str, dict[str, Any]] = {503: {"model": Ready, "description": "not ready"}}

    @app.get("/v2/health/ready", tags=_TAG, summary="The server is ready", response_model=Ready, responses=unready)
    async def ready() -> JSONResponse:
        is_ready = catalogue.unready() is None
        return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)


def _add_model_routes(app: FastAPI, catalogue: Catalogue) -> None:
    unready: dict[int | str, dict[str, Any]] = {
        **problems(404),
        503: {"model": Ready, "description": "no instance can answer"},
    }

    def metadata_of(model: str, version: str | None) -> ModelMetadata:
        served = _known(catalogue, model)
        wanted = next(iter(served), None) if version is None else version_of(version)
        if wanted is None and version is None:
            raise Problem(503, f"no instance can answer for {model} now", retry_after_s=1)
        if wanted is None or wanted not in served:
            raise _absent(model, version)
        return ModelMetadata.model_validate(model_metadata(model, sorted(served), served[wanted]))

    def ready_of(model: str, version: str | None) -> JSONResponse:
        served = _known(catalogue, model)
        if version is not None and version_of(version) not in served:
            raise _absent(model, version)
        return JSONResponse({"name": model, "ready": bool(served)}, 200 if served else 503)

    @app.get("/v2/models/{model}", tags=_TAG, summary="Model metadata", responses=problems(404, 503))
    async def model_metadata_(model: str) -> ModelMetadata:
        return metadata_of(model, None)

    @app.get("/v2/models/{model}/versions/{version}", tags=_TAG, summary="Version metadata", responses=problems(404))
    async def version_metadata(model: str, version: Version) -> ModelMetadata:
        return metadata_of(model, version)

    @app.get(
        "/v2/models/{model}/ready", tags=_TAG, summary="The model is ready", response_model=Ready, responses=unready
    )
    async def model_ready(model: str) -> JSONResponse:
        return ready_of(model, None)

    @app.get(
        "/v2/models/{model}/versions/{version}/ready",
        tags=_TAG,
        summary="Version ready",
        response_model=Ready,
        responses=problems(404),
    )
    async def version_ready(model: str, version: Version) -> JSONResponse:
        return ready_of(model, version)


def _known(catalogue: Catalogue, model: str) -> Mapping[int, Signature]:
    served = catalogue.served(model)
    if served is None:
        raise Problem(404, f"model {model[:100]!r} is not served here")
    return served


def _absent(model: str, version: str | None) -> Problem:
    return Problem(404, f"version {(version or '')[:20]!r} of {model[:100]} is not held here")


async def _infer(model: str, version: Version, body: InferBody, timeout_ms: RequestTimeout = None) -> InferAnswer:
    """Answered ahead of FastAPI; what comes here is no version."""
    raise _absent(model, version)


async def _infer_any(model: str, body: InferBody, timeout_ms: RequestTimeout = None) -> InferAnswer:
    """Answered ahead of FastAPI; this is its documentation."""
    raise Problem(404, f"model {model[:100]!r} is not served here")

"""A gateway's hot path over predictors that speak the framing, each a real HTTP server of the test's own."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI

from shipway.contract import rows
from shipway.contract.envelope import Envelope, WireMessage, encode
from shipway.contract.errors import Transient
from shipway.contract.events import (
    DesiredState,
    FeaturesPublished,
    HeldVersion,
    LoadedVersion,
    ModelDeclared,
    Payload,
    PredictionResult,
    Presence,
    Traffic,
)
from shipway.contract.rows import Answer, Ask, Frames
from shipway.gateway.asking import Asker
from shipway.gateway.featuretable import FeatureTable
from shipway.gateway.groups import Groups
from shipway.gateway.infer import InferApp
from shipway.gateway.later import Later
from shipway.gateway.predict import PredictApp
from shipway.gateway.registry import Registry
from shipway.gateway.results import Results
from shipway.gateway.settings import FeatureSettings, LaterSettings, LimitSettings, ProbeSettings
from shipway.gateway.several import Several
from shipway.gateway.together import SeveralApp
from shipway.gateway.upstream import Upstream
from shipway.runtime.direct import Direct, serving
from shipway.runtime.http import respond
from shipway.runtime.prediction_sink import PredictionSink
from shipway.runtime.settings import KafkaSettings
from shipway.runtime.spool import Spool

FEATURES = [{"name": "size", "type": "number"}, {"name": "colour", "type": "category", "categories": ["red"]}]
LATER = LaterSettings(pending=3, timeout_ms=2000, keep_s=60, keep_results=5)
SIGNATURE = {"features": FEATURES, "output": "binary", "target": "late", "classes": ["no", "yes"]}


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


class Predictor:
    """Answers 0.25 for every row once ``free`` is set (of ``slow`` models, if any), or as ``refuse`` says."""

    def __init__(self, name: str) -> None:
        self.name, self.ready, self.answered, self.waiting = name, True, 0, 0
        self.refuse: tuple[int, str] | None = None
        self.poison: float | None = None
        self.explains = True
        self.slow: set[str] = set()
        self.hangs = False
        self.free = asyncio.Event()
        self.free.set()
        self.asks: list[Ask] = []
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        self.server = uvicorn.Server(uvicorn.Config(self._app, interface="asgi3", lifespan="off", log_config=None))
        self.serving = asyncio.create_task(self.server.serve(sockets=[self.listening]))
        self.rows = ""
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listens for the rows protocol."""
        self._rows = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.rows = f"127.0.0.1:{self._rows.sockets[0].getsockname()[1]}"

    async def kill(self) -> None:
        """Takes no more connections, and breaks those that are open."""
        self._rows.close()
        for writer in self._open:
            writer.transport.abort()
        for server in self.server.servers:
            server.close()
        for connection in list(self.server.server_state.connections):
            connection.transport.abort()
        self.free.set()
        self.server.should_exit = self.server.force_exit = True
        await self.serving
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        await respond(send, 200 if self.ready else 503, b"{}", [])

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        frames = Frames(10**8)
        while data := await reader.read(65536):
            for body in frames.feed(data):
                task = asyncio.create_task(self._answer(rows.read_ask(body), writer))
                self._tasks.add(task)

    async def _answer(self, ask: Ask, writer: asyncio.StreamWriter) -> None:
        self.asks.append(ask)
        if ask.model == "":  # a ping
            if not self.hangs:
                writer.write(rows.frame(Answer(ask.id, rows.NOT_LOADED)))
            return
        self.waiting += ask.rows
        if ask.model in self.slow or not self.slow:
            await self.free.wait()
        self.waiting -= ask.rows
        values = rows.matrix(ask, 2)
        if self.refuse is not None:
            answer = Answer(ask.id, *self.refuse)
        elif self.poison is not None and (values == self.poison).any():
            answer = Answer(ask.id, rows.FAILED, "poison")
        else:
            self.answered += ask.rows
            row = [0.25, 0.5, -0.125, 1.0] if ask.explain and self.explains else [0.25]
            answer = Answer(ask.id, rows.OK, "", len(row), np.tile(row, ask.rows).tobytes())
        writer.write(rows.frame(answer))


class Kafka:
    """A producer that keeps what it is told, or is away."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.away = False

    async def publish(self, _source: str, payload: Any) -> None:
        if self.away:
            raise Transient("Kafka is away")
        encode(Envelope("i", "s", datetime.now(UTC), payload))
        self.told.append(payload)


class Gateway:
    """The hot path, with tables that are filled as Kafka would fill them. The model is ``m``, digests are ``d1``.."""

    def __init__(self, probes: dict[str, float], limits: dict[str, Any]) -> None:
        settings = LimitSettings(**{"patience_ms": 100} | limits)
        watching = {"every_s": 0.05, "every_out_s": 0.02, "timeout_s": 2} | probes
        self.features = FeatureTable(KafkaSettings(), FeatureSettings(keep_rows=5))
        self.registry = Registry(KafkaSettings(), ProbeSettings.model_validate(watching), self.features)
        self.registry.desired.caught_up.set()
        self.registry.presence.caught_up.set()
        self.upstream = Upstream(self.registry, settings)
        self.logged: list[WireMessage] = []

        async def keep(message: WireMessage) -> None:
            self.logged.append(message)

        self.sink = PredictionSink(
            keep, Spool(None, max_bytes=0, memory_bytes=10**8), source="shipway/gateway/t", instance="t"
        )
        self.rest = FastAPI()
        self.asker = Asker(self.registry, self.upstream, self.sink, settings, "t")
        self.groups = Groups(KafkaSettings())
        self.results = Results(KafkaSettings(), LATER)
        self.kafka = Kafka()
        several = Several(self.asker, self.groups, settings.models)
        self.bugs: list[BaseException] = []
        self.later = Later(several, self.results, self.kafka, LATER, "shipway/gateway", "t", self.bugs.append)  # type: ignore[arg-type]
        together = SeveralApp(several, self.later, settings, InferApp(self.asker, self.rest))
        self.app = PredictApp(self.asker, together)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://gateway")
        self.server: uvicorn.Server | None = None
        self._probing = asyncio.create_task(self.registry.run_probes())

    async def listen(self) -> None:
        """Is asked over real HTTP from now on, by the door beside ASGI where a request fits through."""
        listening = socket.create_server(("127.0.0.1", 0))
        direct = Direct(b"/predict/", 64_000, self.app.begin)
        config = uvicorn.Config(
            self.app, interface="asgi3", lifespan="off", log_config=None, http=serving(lambda: direct)
        )
        self.server = uvicorn.Server(config)
        self._serving = asyncio.create_task(self.server.serve(sockets=[listening]))
        await self.http.aclose()
        self.port = listening.getsockname()[1]
        limits = httpx.Limits(max_connections=None)  # a hundred by default: the rest would wait in the client
        self.http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=30, limits=limits)
        await eventually(lambda: self.server is not None and self.server.started)

    def wants(
        self,
        *versions: tuple[int, Any, float],
        generation: int = 1,
        model: str = "m",
        signature: Any = None,
        signatures: dict[int, Any] | None = None,
        **more: Any,
    ) -> None:
        """Hears a desired state of (version, role, share), with that signature, or one's own of ``signatures``."""
        of = signatures or {}
        held = [
            HeldVersion(version=v, digest=f"d{v}", role=role, signature=of.get(v) or signature or SIGNATURE)
            for v, role, _ in versions
        ]
        traffic = [Traffic(version=v, share=share) for v, _, share in versions if share]
        self.hears(DesiredState(model=model, generation=generation, versions=held, traffic=traffic, **more))

    def says(
        self, name: str, url: str, *versions: int, rows: str = "127.0.0.1:9", models: tuple[str, ...] = ("m",)
    ) -> None:
        """Hears a presence: these versions of the models are ready."""
        held = [LoadedVersion(model=m, version=v, digest=f"d{v}", state="ready") for m in models for v in versions]
        rest: Any = {"started_at": datetime(2026, 1, 1, tzinfo=UTC), "library_versions": {}, "generations": {}}
        self.hears(Presence(instance=name, url=url, rows=rows, versions=held, **rest))

    async def knows(self, predictor: Predictor, *versions: int, models: tuple[str, ...] = ("m",)) -> None:
        """Hears a predictor's presence, and has probed it."""
        self.says(predictor.name, predictor.url, *versions, rows=predictor.rows, models=models)
        await eventually(lambda: self.registry.health[predictor.name].well)

    async def ask(self, body: Any = None) -> httpx.Response:
        """One prediction."""
        return await self.http.post("/predict/m", json=body or {"rows": [{"size": 1.0, "colour": "red"}]})

    async def close(self) -> None:
        await self.later.drain(0)
        assert not self.bugs
        self._probing.cancel()
        await asyncio.gather(self._probing, return_exceptions=True)
        await self.http.aclose()
        if self.server is not None:
            self.server.should_exit = True
            await self._serving
        await self.upstream.close()

    def hears(self, payload: Payload) -> None:
        """Hears an event, as from Kafka."""
        message = encode(Envelope("i", "s", datetime.now(UTC), payload, None))
        view: Any = self.registry.presence
        if isinstance(payload, DesiredState):
            view = self.registry.desired
        elif isinstance(payload, ModelDeclared):
            view = self.groups.view
        elif isinstance(payload, PredictionResult):
            view = self.results.view
        elif isinstance(payload, FeaturesPublished):
            view = self.features.topic
        view._take(message.key, message.value, list(message.headers))


@pytest.fixture(name="eventually")
def _eventually() -> Any:
    return eventually


@pytest.fixture
async def predictors() -> AsyncIterator[list[Predictor]]:
    """Two running predictors, a and b."""
    both = [Predictor("a"), Predictor("b")]
    await eventually(lambda: all(p.server.started for p in both))
    await asyncio.gather(*(one.start() for one in both))
    yield both
    await asyncio.gather(*(one.kill() for one in both if not one.serving.done()))


@pytest.fixture(params=["ASGI", "direct"])
async def gateways(request: pytest.FixtureRequest) -> AsyncIterator[Callable[..., Awaitable[Gateway]]]:
    """Makes gateways with such limits (and settings of ``probes``), and closes them; for each of the two doors."""
    made: list[Gateway] = []

    async def make(probes: dict[str, float] | None = None, **limits: Any) -> Gateway:
        made.append(Gateway(probes or {}, limits))
        if request.param == "direct":
            await made[-1].listen()
        return made[-1]

    yield make
    await asyncio.gather(*(one.close() for one in made))

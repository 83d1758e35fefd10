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
from shipway.contract.events import DesiredState, HeldVersion, LoadedVersion, Presence, Traffic
from shipway.contract.rows import Answer, Ask, Frames
from shipway.gateway.asking import Asker
from shipway.gateway.infer import InferApp
from shipway.gateway.predict import PredictApp
from shipway.gateway.registry import Registry
from shipway.gateway.settings import LimitSettings, ProbeSettings
from shipway.gateway.upstream import Upstream
from shipway.runtime.direct import Direct, serving
from shipway.runtime.http import respond
from shipway.runtime.prediction_sink import PredictionSink
from shipway.runtime.settings import KafkaSettings
from shipway.runtime.spool import Spool

FEATURES = [{"name": "size", "type": "number"}, {"name": "colour", "type": "category", "categories": ["red"]}]
SIGNATURE = {"features": FEATURES, "output": "binary", "target": "late", "classes": ["no", "yes"]}


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


class Predictor:
    """Answers 0.25 for every row once ``free`` is set, or with the status of ``refuse``."""

    def __init__(self, name: str) -> None:
        self.name, self.ready, self.answered, self.waiting = name, True, 0, 0
        self.refuse: tuple[int, str] | None = None
        self.poison: float | None = None
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
        [writer.transport.abort() for writer in self._open]
        [server.close() for server in self.server.servers]
        [connection.transport.abort() for connection in list(self.server.server_state.connections)]
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
        self.waiting += ask.rows
        await self.free.wait()
        self.waiting -= ask.rows
        values = rows.matrix(ask, 2)
        if self.refuse is not None:
            answer = Answer(ask.id, *self.refuse)
        elif self.poison is not None and (values == self.poison).any():
            answer = Answer(ask.id, rows.FAILED, "poison")
        else:
            self.answered += ask.rows
            answer = Answer(ask.id, rows.OK, "", 1, np.full(ask.rows, 0.25).tobytes())
        writer.write(rows.frame(answer))


class Gateway:
    """The hot path, with tables that are filled as Kafka would fill them. The model is ``m``, digests are ``d1``.."""

    def __init__(self, probes: dict[str, float], limits: dict[str, Any]) -> None:
        settings = LimitSettings(**{"patience_ms": 100} | limits)
        watching = {"every_s": 0.05, "every_out_s": 0.02, "timeout_s": 2} | probes
        self.registry = Registry(KafkaSettings(), ProbeSettings.model_validate(watching))
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
        self.app = PredictApp(self.asker, InferApp(self.asker, self.rest))
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

    def wants(self, *versions: tuple[int, Any, float], generation: int = 1) -> None:
        """Hears a desired state of (version, role, share)."""
        held = [HeldVersion(version=v, digest=f"d{v}", role=role, signature=SIGNATURE) for v, role, _ in versions]
        traffic = [Traffic(version=v, share=share) for v, _, share in versions if share]
        self._hears(DesiredState(model="m", generation=generation, versions=held, traffic=traffic))

    def says(self, name: str, url: str, *versions: int, rows: str = "127.0.0.1:9") -> None:
        """Hears a presence: these versions are ready."""
        held = [LoadedVersion(model="m", version=v, digest=f"d{v}", state="ready") for v in versions]
        rest: Any = {"started_at": datetime(2026, 1, 1, tzinfo=UTC), "library_versions": {}, "generations": {}}
        self._hears(Presence(instance=name, url=url, rows=rows, versions=held, **rest))

    async def knows(self, predictor: Predictor, *versions: int) -> None:
        """Hears a predictor's presence, and has probed it."""
        self.says(predictor.name, predictor.url, *versions, rows=predictor.rows)
        await eventually(lambda: self.registry.health[predictor.name].well)

    async def ask(self, body: Any = None) -> httpx.Response:
        """One prediction."""
        return await self.http.post("/predict/m", json=body or {"rows": [{"size": 1.0, "colour": "red"}]})

    async def close(self) -> None:
        self._probing.cancel()
        await asyncio.gather(self._probing, return_exceptions=True)
        await self.http.aclose()
        if self.server is not None:
            self.server.should_exit = True
            await self._serving
        await self.upstream.close()

    def _hears(self, payload: DesiredState | Presence) -> None:
        message = encode(Envelope("i", "s", datetime.now(UTC), payload, None))
        view: Any = self.registry.desired if isinstance(payload, DesiredState) else self.registry.presence
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

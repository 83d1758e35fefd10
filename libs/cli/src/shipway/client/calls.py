"""How the client calls: HTTP to gateway, monitor and trainer, events by Kafka."""

import getpass
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Self

import httpx

from shipway.client.addresses import Addresses
from shipway.client.errors import Refused, Unreachable
from shipway.contract import topics
from shipway.contract.commandseal import seal
from shipway.contract.envelope import Envelope, WireMessage, encode
from shipway.contract.errors import Transient
from shipway.contract.events import Payload
from shipway.runtime import trace
from shipway.runtime.kafka import Producer


class Calls:
    """What all calls need: the addresses, one HTTP client, a producer for as long as it is needed."""

    def __init__(self, addresses: Addresses | None = None, *, timeout_s: float = 10.0) -> None:
        self.addresses = addresses or Addresses()
        self._http = httpx.AsyncClient(timeout=timeout_s, headers=self.addresses.headers())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

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

    async def _command(self, command: Payload) -> None:
        async with self._producing() as producer:
            await send_command(producer, self._signed(command))

    def _signed(self, command: Payload) -> WireMessage:
        span = trace.child(trace.current())
        message = encode(Envelope(uuid.uuid4().hex, "shipway/client", datetime.now(UTC), command, span))
        return seal(message, self.addresses.operator_key.encode()) if self.addresses.operator_key else message


def whoami() -> str:
    """Who asks: the name of the user that runs this."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


async def publish(producer: Producer, payload: Payload, event_id: str) -> None:
    """Publishes an event under an id. Raises Unreachable: the broker does not take it."""
    try:
        await producer.publish("shipway/client", payload, event_id=event_id)
    except Transient as err:
        raise Unreachable(str(err)) from err


async def send_command(producer: Producer, message: WireMessage) -> None:
    """Sends a command that is sealed. Raises Unreachable: the broker does not take it."""
    try:
        await producer.send(topics.OPERATOR_COMMANDS.name, message.key, message.value, message.headers)
    except Transient as err:
        raise Unreachable(str(err)) from err

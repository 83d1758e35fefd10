"""Giving a service a command, and waiting for what became of it."""

import asyncio
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from shipway.client.errors import ShipwayError, Unreachable
from shipway.client.follow import Follower, following
from shipway.contract.commandseal import seal
from shipway.contract.envelope import Envelope, WireMessage, encode, text_headers
from shipway.contract.errors import Transient
from shipway.contract.events import (
    CommandAnswered,
    DeadLettered,
    OperatorCommand,
    ReplayCompleted,
    ReplayFailed,
    ReplayRequested,
    SubjectForgetRequested,
    SubjectForgotten,
)
from shipway.contract.topics import (
    DEAD_LETTERS,
    EVALUATION_EVENTS,
    MONITORING_EVENTS,
    OPERATOR_COMMANDS,
    RELEASE_EVENTS,
    Service,
    Topic,
)
from shipway.runtime import trace
from shipway.runtime.kafka import Producer
from shipway.runtime.settings import KafkaSettings

ASK_AGAIN_S = 5.0
Command = OperatorCommand | SubjectForgetRequested | ReplayRequested
A = TypeVar("A", bound=CommandAnswered | SubjectForgotten | ReplayCompleted | ReplayFailed)


@dataclass(frozen=True)
class Answering(Generic[A]):
    """Who answers a kind of command, on which topic and how: by an event of one of these types."""

    service: Service
    topic: Topic
    answers: tuple[type[A], ...]


BY_RELEASER = Answering("releaser", RELEASE_EVENTS, (CommandAnswered,))
BY_MONITOR = Answering("monitor", MONITORING_EVENTS, (SubjectForgotten,))
BY_EVALUATOR: Answering[ReplayCompleted | ReplayFailed] = Answering(
    "evaluator", EVALUATION_EVENTS, (ReplayCompleted, ReplayFailed)
)


def signed(command: Command, key: str | None) -> WireMessage:
    """The command as a message, with the operator's signature where there is a key."""
    event = Envelope(command.command_id, "shipway/client", datetime.now(UTC), command, trace.child(trace.current()))
    return seal(encode(event), key.encode()) if key else encode(event)


def new_command_id() -> str:
    """An id that no other command has."""
    return uuid.uuid4().hex


async def give(
    kafka: KafkaSettings,
    producer: Producer,
    command: Command,
    key: str | None,
    answer_within_s: float,
    by: Answering[A],
) -> A:
    """Sends the command until it is answered; the same message each time, so that it counts once.

    Raises:
        ShipwayError: it is not one that is obeyed, such as without the right signature.
        Unreachable: the broker does not answer, or the service does not in time.
    """
    message = signed(command, key)
    async with following(kafka, (by.topic, DEAD_LETTERS[by.service])) as follower:
        asking = asyncio.create_task(_ask_until_cancelled(producer, message))
        answering = asyncio.create_task(_answer(follower, command.command_id, by))
        try:
            async with asyncio.timeout(answer_within_s):
                await asyncio.wait({asking, answering}, return_when=asyncio.FIRST_COMPLETED)
                if not answering.done():
                    await asking  # it ended by an error
                return await answering
        except TimeoutError as err:
            late = f"the command was published, but not answered in {answer_within_s:g} s"
            raise Unreachable(f"{late}; is a {by.service} running? If one comes, it will obey it all the same") from err
        finally:
            for task in (asking, answering):
                task.cancel()
                with suppress(asyncio.CancelledError, Unreachable, ShipwayError):
                    await task


async def _ask_until_cancelled(producer: Producer, message: WireMessage) -> None:
    while True:
        try:
            await producer.send(OPERATOR_COMMANDS.name, message.key, message.value, message.headers)
        except Transient as err:
            raise Unreachable(str(err)) from err
        await asyncio.sleep(ASK_AGAIN_S)


async def _answer(follower: Follower, command_id: str, by: Answering[A]) -> A:
    async for found in follower:
        payload = found.event.payload if found.event is not None else None
        if isinstance(payload, by.answers) and payload.command_id == command_id:
            return payload
        if isinstance(payload, DeadLettered) and text_headers(payload.headers).get("ce_id") == command_id:
            raise ShipwayError(f"the {by.service} does not take the command: {payload.reason}")
    raise ShipwayError(f"the {by.service}'s events ended")  # pragma: no cover  (a follower goes on for ever)

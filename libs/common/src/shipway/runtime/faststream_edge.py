"""What FastStream is told so that it loses nothing: security in its words, safe headers, messages left as they are."""

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka import ConsumerRecord
from faststream.kafka.message import ConsumerProtocol, KafkaMessage
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from shipway.contract.envelope import text_headers
from shipway.runtime.kafka import client_arguments
from shipway.runtime.settings import KafkaSettings


def security(settings: KafkaSettings) -> BaseSecurity | None:
    """FastStream's name for what an aiokafka client is told."""
    arguments = client_arguments(settings)
    context = arguments.get("ssl_context")
    if "sasl_mechanism" not in arguments:
        return BaseSecurity(ssl_context=context, use_ssl=True) if context else None
    kinds = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}
    return kinds[arguments["sasl_mechanism"]](
        arguments["sasl_plain_username"],
        arguments["sasl_plain_password"],
        ssl_context=context,
        use_ssl=context is not None,
    )


async def safe_headers(record: ConsumerRecord, parse: Callable[[Any], Awaitable[Any]]) -> Any:
    """A parser that makes the headers readable before FastStream decodes them; the message keeps its own."""
    safe = tuple((key, value.encode()) for key, value in text_headers(record.headers).items())
    message = await parse(dataclasses.replace(record, headers=safe))
    message.raw_message = record
    return message


@dataclasses.dataclass(frozen=True, slots=True)
class Taken:
    """A message as it came, and the consumer whose offset goes past it."""

    record: ConsumerRecord
    consumer: ConsumerProtocol


async def undecoded(message: KafkaMessage) -> Taken:
    """A decoder that gives the message as it came.

    So a handler has all of it without FastStream's look at its parameters, which takes a turn in a thread each time.
    """
    assert isinstance(message.raw_message, ConsumerRecord)
    return Taken(message.raw_message, message.consumer)

"""``shipway events``: follow the topics, readable."""

import asyncio
from typing import Annotated, Any

import msgspec
import typer

from shipway.cli.output import console, dim, errors, print_json_line, strong
from shipway.cli.target import DEFAULT_FOLDER, AsJson, Folder, Kafka, addresses
from shipway.client import AsyncShipway
from shipway.client.follow import Followed
from shipway.runtime import trace

_HIDDEN = {"model", "signature", "spec", "release", "prediction_log", "gates", "traceparent", "value", "headers", "key"}


def events(
    model: Annotated[str | None, typer.Option(help="only this model's")] = None,
    from_start: Annotated[bool, typer.Option("--from-start", help="from the oldest that the broker keeps")] = False,
    as_json: AsJson = False,
    data: Folder = DEFAULT_FOLDER,
    kafka: Kafka = None,
) -> None:
    """Follow every event, until Ctrl-C."""

    async def run() -> None:
        async with (
            AsyncShipway(addresses(data, kafka=kafka)) as shipway,
            shipway.events(from_start=from_start) as found,
        ):
            if not as_json:
                errors.print("following; Ctrl-C ends it", style="dim")
            async for message in found:
                if message.event is None:
                    errors.print(
                        f"{message.topic}/{message.partition}@{message.offset}: {message.problem}", style="red"
                    )
                elif model is None or getattr(message.event.payload, "model", None) == model:
                    _show(message, as_json)

    asyncio.run(run())


def _show(message: Followed, as_json: bool) -> None:
    event = message.event
    assert event is not None
    payload: dict[str, Any] = msgspec.to_builtins(event.payload)
    trace_id = trace.trace_id(event.traceparent) or ""
    if as_json:
        print_json_line(
            {
                "type": event.payload.type,
                "id": event.id,
                "source": event.source,
                "time": event.time,
                "trace_id": trace_id,
                "topic": message.topic,
                "data": payload,
            }
        )
        return
    name = event.payload.type.split(".")[1]
    details = " ".join(
        f"{k}={_short(v)}" for k, v in payload.items() if k not in _HIDDEN and v not in (None, "", [], {})
    )
    console.print(
        dim(f"{event.time:%H:%M:%S}.{event.time.microsecond // 1000:03d}"),
        strong(name),
        payload.get("model", ""),
        details,
        dim(trace_id[:8]),
        soft_wrap=True,
    )


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_short(v)}" for k, v in list(value.items())[:4]) + "}"
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."

"""The trace that an event or a request belongs to, carried as W3C ``traceparent`` from request to retirement.

Spans are told to whom ``export_to`` names (see runtime.otel), and cost nothing where that is nobody.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

from shipway.runtime.randomness import random_bytes

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_current: ContextVar[str | None] = ContextVar("traceparent", default=None)


@dataclass(frozen=True)
class Span:
    """A span that is over. ``traceparent`` is its own, ``parent`` that of its parent, ``links`` those of others.

    Times are nanoseconds since 1970; ``error`` is empty where it ended well.
    """

    name: str
    traceparent: str
    parent: str | None
    begun_ns: int
    ended_ns: int
    kind: Literal["internal", "server", "producer", "consumer"] = "internal"
    attributes: Mapping[str, str | int] = field(default_factory=dict)
    links: tuple[str, ...] = ()
    error: str = ""


Export = Callable[[Span], None]
_export: Export | None = None


def export_to(export: Export | None) -> None:
    """Tells ``export`` of every span of this process that ends from now on; None: nobody."""
    global _export  # one for a process, as its log
    _export = export


def exports() -> bool:
    """Whether anybody is told of this process's spans."""
    return _export is not None


def tell(span: Span) -> None:
    """Tells of a span, unless its trace is one that nobody samples."""
    if _export is not None and sampled(span.traceparent):
        _export(span)


def new() -> str:
    """A traceparent that starts a trace."""
    text = random_bytes(24).hex()
    return f"00-{text[:32]}-{text[32:]}-01"


def child(traceparent: str | None) -> str:
    """A new span in the trace of ``traceparent``; a new trace where that is absent or malformed."""
    match = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    return f"00-{match[1]}-{random_bytes(8).hex()}-{match[3]}" if match else new()


def trace_id(traceparent: str | None) -> str | None:
    """The 32 hexadecimal digits that name the trace."""
    match = _TRACEPARENT.fullmatch(traceparent or "")
    return match[1] if match else None


def sampled(traceparent: str) -> bool:
    """Whether the trace's spans are wanted, by its flags."""
    return bool(int(traceparent[-2:], 16) & 1)


def current() -> str | None:
    """The traceparent of what is being handled."""
    return _current.get()


def sent(name: str) -> str:
    """The traceparent of an event that is sent now, as a span of what is being handled.

    What is sent by nothing in particular, such as feedback, starts a trace that is not sampled.
    """
    parent = _current.get()
    if parent is None:
        return f"{new()[:-2]}00"
    span = child(parent)
    if _export is not None:
        now = time.time_ns()
        tell(Span(f"send {name}", span, parent, now, now, "producer"))
    return span


@contextmanager
def within(
    traceparent: str | None,
    name: str = "",
    kind: Literal["internal", "consumer"] = "internal",
    **attributes: str | int,
) -> Iterator[str]:
    """Handles what follows as a span of that trace, which logs and events carry; without a name it is not told."""
    span = child(traceparent)
    token = _current.set(span)
    begun_ns, error = time.time_ns(), ""
    try:
        yield span
    except BaseException as err:
        error = f"{type(err).__name__}: {err}"[:500]
        raise
    finally:
        _current.reset(token)
        if name and _export is not None:
            parent = traceparent if trace_id(traceparent) else None
            tell(Span(name, span, parent, begun_ns, time.time_ns(), kind, attributes, error=error))

"""The trace that an event or a request belongs to, carried as W3C ``traceparent`` from request to retirement."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from shipway.runtime.randomness import random_bytes

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_current: ContextVar[str | None] = ContextVar("traceparent", default=None)


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


def current() -> str | None:
    """The traceparent of what is being handled."""
    return _current.get()


@contextmanager
def within(traceparent: str | None) -> Iterator[str]:
    """Handles what follows as a span of that trace; logs and outgoing events carry it."""
    span = child(traceparent)
    token = _current.set(span)
    try:
        yield span
    finally:
        _current.reset(token)

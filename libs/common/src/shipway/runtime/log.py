"""Structured logs to standard error: one JSON object a line (or lines for people), with the trace id."""

import logging
import sys
import time
from collections.abc import Iterable
from typing import Any

import structlog
from structlog.processors import ExceptionRenderer
from structlog.tracebacks import ExceptionDictTransformer

from shipway.runtime import trace
from shipway.runtime.redaction import Redactor
from shipway.runtime.settings import LogSettings

_NOISY = ("aiokafka", "faststream", "httpx", "httpcore", "urllib3", "alembic", "uvicorn.access", "opentelemetry")


class _AtMostOften(logging.Filter):
    """Lets a logger's message template through once in ``every_s``: a lost broker logs 80 lines a second."""

    def __init__(self, every_s: float) -> None:
        super().__init__()
        self._every_s = every_s
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return False
        now = time.monotonic()
        if now - self._last.get(str(record.msg), -self._every_s) < self._every_s or len(self._last) > 1000:
            return False
        self._last[str(record.msg)] = now
        return True


def _add_trace(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    traceparent = trace.current()
    if traceparent:
        event["trace_id"] = trace.trace_id(traceparent)
    return event


def configure(settings: LogSettings, service: str, secrets: Iterable[str] = ()) -> None:
    """Sets up logging of this process, its libraries' included; ``secrets`` are shown in no line."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_trace,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: structlog.typing.Processor
    if settings.format == "json":
        # Without the frames' variables, which may hold anybody's secrets.
        shared.append(ExceptionRenderer(ExceptionDictTransformer(show_locals=False)))
        last = structlog.processors.JSONRenderer(default=str)
    else:
        last = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last, Redactor(secrets)],
        )
    )
    rare = _AtMostOften(every_s=10)
    handler.addFilter(lambda record: rare.filter(record) if record.name.startswith(_NOISY) else True)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = name != "uvicorn.access"
    structlog.contextvars.bind_contextvars(service=service)


def get(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger

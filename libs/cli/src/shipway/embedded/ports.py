"""Chooses the TCP ports of the stack: those asked for, else the usual ones, else free ones."""

import socket
from collections.abc import Iterable, Mapping
from contextlib import ExitStack

from shipway.contract.errors import InvalidField

HOST = "127.0.0.1"
USUAL: Mapping[str, int] = {
    "postgres": 5432,
    "broker": 9092,
    "gateway": 8080,
    "monitor": 8090,
    "trainer": 8101,
    "evaluator": 8102,
    "releaser": 8103,
    "predictor-1": 8081,
    "predictor-2": 8082,
    "predictor-3": 8083,
    "predictor-4": 8084,
}


def choose_ports(
    names: Iterable[str],
    asked: Mapping[str, int] | None = None,
    usual: Mapping[str, int] = USUAL,
) -> dict[str, int]:
    """A port for every name. Give ``usual={}`` to get free ports only, as tests should.

    Raises:
        InvalidField: a port that was asked for is in use, or asked for twice.
    """
    asked = asked or {}
    chosen: dict[str, int] = {}
    with ExitStack() as held:
        # All stay bound until all are chosen, so that no port is given twice.
        missing = []
        for name in names:
            if name not in asked:
                missing.append(name)
                continue
            if (bound := _bind(asked[name])) is None:
                raise in_use(name, asked[name])
            chosen[name] = held.enter_context(bound).getsockname()[1]
        for name in missing:
            bound = _bind(usual[name]) if name in usual else None
            if bound is None:
                bound = _bind(0)
            if bound is None:
                raise InvalidField(f"--port {name}", f"no port is free on {HOST}")
            chosen[name] = held.enter_context(bound).getsockname()[1]
    return chosen


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    bound = _bind(port)
    if bound is None:
        return False
    bound.close()
    return True


def in_use(name: str, port: int) -> InvalidField:
    """The error for a port that another program holds; it names the option that chooses another."""
    return InvalidField(
        f"--port {name}={port}",
        f"the port is in use on {HOST}; choose another, or stop the program that holds it",
    )


def _bind(port: int) -> socket.socket | None:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # As servers do: connections of an earlier run that still time out are no obstacle.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((HOST, port))
        # Without listening, two sockets with SO_REUSEADDR may hold one port.
        bound.listen(1)
    except (OSError, OverflowError):
        bound.close()
        return None
    return bound

"""Chooses the TCP ports of the stack: those asked for, else the usual ones, else free ones."""

import errno
import random
import socket
from collections.abc import Iterable, Mapping
from contextlib import ExitStack

from shipway.contract.errors import InvalidField

_FREE = range(20_000, 32_000)
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
    names: Iterable[str], asked: Mapping[str, int] | None = None, usual: Mapping[str, int] = USUAL
) -> dict[str, int]:
    """A port for every name. Give ``usual={}`` to get free ports only, as tests should.

    Raises:
        InvalidField: a port that was asked for can't be had: it is in use, not allowed, or asked for twice.
    """
    asked = asked or {}
    chosen: dict[str, int] = {}
    with ExitStack() as held:
        # All stay bound until all are chosen, so that no port is given twice; those asked for come first.
        for name in sorted(names, key=lambda name: name not in asked):
            bound = _named(name, asked[name]) if name in asked else _usual_or_free(usual.get(name, 0))
            chosen[name] = held.enter_context(bound).getsockname()[1]
    return chosen


def check_port(name: str, port: int) -> None:
    """Holds that a server could listen on the port now.

    Raises:
        InvalidField: it could not; the message names the option that chooses another.
    """
    _named(name, port).close()


def _named(name: str, port: int) -> socket.socket:
    try:
        return _bind(port)
    except (OSError, OverflowError) as err:
        in_use = isinstance(err, OSError) and err.errno == errno.EADDRINUSE
        problem = "the port is in use" if in_use else str(err)
        raise InvalidField(f"--port {name}={port}", f"{problem}; choose another, or free this one on {HOST}") from err


def _usual_or_free(usual: int) -> socket.socket:
    # A free one from below those that the system gives to outgoing connections (32768 on Linux, 49152 elsewhere):
    # one of these could be taken between the choice and the server's start, or its restart.
    for port in (usual, *random.sample(_FREE, 100)):
        try:
            if port:
                return _bind(port)
        except OSError:
            continue
    return _bind(0)


def _bind(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # As servers do: connections of an earlier run that still time out are no obstacle.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((HOST, port))
        # Without listening, two sockets with SO_REUSEADDR may hold one port.
        bound.listen(1)
    except (OSError, OverflowError):
        bound.close()
        raise
    return bound

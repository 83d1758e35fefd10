"""Named points at the edges of every commit where a test can have the process killed; they do nothing otherwise.

``SHIPWAY_FAILPOINT=name`` kills the process with SIGKILL when it first reaches the point of that name,
``SHIPWAY_FAILPOINT=name:3`` when it does so for the third time.
"""

import os
import signal
from typing import Literal, get_args

VARIABLE = "SHIPWAY_FAILPOINT"
Point = Literal[
    "inbox recorded",  # in the transaction, before the effect
    "outbox written",  # in the transaction, with an event for others
    "effect done",  # at the end of the transaction, before its commit
    "effect committed",  # before the offset
    "offset committed",
    "refusal written",  # in the transaction, with the dead letter
    "refusal committed",
    "publishing",  # before a row of the outbox is sent
    "published",  # the broker has it, the row does not say so
    "publication noted",  # the rows say so, before the commit
    "publication committed",
]
POINTS: tuple[Point, ...] = get_args(Point)


def armed(value: str) -> tuple[Point, int] | None:
    """The point that the variable's value names, and at which time it kills; None for an empty value.

    Raises:
        ValueError: there is no such point, or the number is not 1 or more.
    """
    if not value:
        return None
    name, _, number = value.partition(":")
    for point in POINTS:
        if point == name and (number or "1").isdecimal() and (times := int(number or "1")) > 0:
            return point, times
    raise ValueError(f"{VARIABLE}={value!r} must be name or name:number; the names are {', '.join(POINTS)}")


_armed = armed(os.environ.get(VARIABLE, ""))
_times = 0


def reached(point: Point) -> None:
    """Says that the process is at a point; it goes no further where the environment says so."""
    if _armed is not None and _armed[0] == point:
        global _times
        _times += 1
        if _times == _armed[1]:
            os.kill(os.getpid(), signal.SIGKILL)

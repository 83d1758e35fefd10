"""When nobody needs a file of an import any more. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal


@dataclass(frozen=True)
class Use:
    """A job that names a file; ``ended_at`` is None while it is not over."""

    state: Literal["queued", "running", "completed", "failed", "cancelled"]
    created_at: datetime
    ended_at: datetime | None


def is_spent(put_at: datetime, uses: Sequence[Use], now: datetime, keep: timedelta) -> bool:
    """Whether a file that was put there at ``put_at`` can go.

    The newest job that names it has made a version of it, unless it was put there once more after that. What failed or
    was cancelled may be run again, and what no job names yet may be about to be: both are kept for ``keep``.
    """
    if any(use.ended_at is None for use in uses):
        return False
    newest = max(uses, key=lambda use: use.created_at, default=None)
    if newest is not None and newest.state == "completed" and put_at <= newest.created_at:
        return True
    again = [use.ended_at for use in uses if use.ended_at is not None and use.state != "completed"]
    return now - max([put_at, *again]) >= keep

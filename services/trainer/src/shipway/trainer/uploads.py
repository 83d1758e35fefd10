"""The files of imports in the object store: how they are named, and when nobody needs one any more. Pure.

They are objects by hash, so that several imports may name one, and a client may put it there again at any time.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from shipway.bundle.manifest import check_digest

UPLOADS = "imports/"
_KEY = re.compile(rf"{UPLOADS}[0-9a-f]{{64}}")
FILES = ("model.txt", "signature.json", "golden.parquet")


@dataclass(frozen=True)
class Use:
    """A job that names a file; ``ended_at`` is None while it is not over."""

    state: Literal["queued", "running", "completed", "failed", "cancelled"]
    created_at: datetime
    ended_at: datetime | None


def key_of_upload(digest: str) -> str:
    """The object key of a file that is to be imported."""
    return f"{UPLOADS}{check_digest(digest)}"


def is_upload(key: str) -> bool:
    """Whether an object is named as one; clients may have put there whatever they like."""
    return _KEY.fullmatch(key) is not None


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

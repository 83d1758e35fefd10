"""``python -m shipway.evaluator.replaychild``: replays predictions in a process of its own (see runtime.children)."""

import os
from datetime import datetime
from typing import Any

from shipway.bundle.replay import Wanted, replay
from shipway.runtime.children import Send, serve
from shipway.runtime.objects import open_store
from shipway.runtime.settings import DataSettings, ObjectsSettings

# Verdicts are waited for; a replay is not, so it gives way.
_NICENESS = 10


def work(order: dict[str, Any], _send: Send) -> dict[str, Any]:
    """What the version that the order names says to logged predictions, beside what was answered."""
    os.nice(_NICENESS)
    wanted = Wanted(
        model=order["model"],
        start=datetime.fromisoformat(order["start"]),
        end=datetime.fromisoformat(order["end"]),
        limit=order["limit"],
    )
    return replay(
        open_store(ObjectsSettings(**order["objects"])),
        wanted,
        order["digest"],
        {int(version): digest for version, digest in order["digests"].items()},
        timeout_s=order["time_limit_s"],
        memory_mb=min(4096, order["memory_mb"]) or 4096,
        allowed=DataSettings(**order["data"]),
    )


if __name__ == "__main__":
    serve(work)

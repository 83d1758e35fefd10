"""A training that does what its model's description says, for test_worker."""

import os
import signal
import time
from typing import Any

from shipway.contract.errors import Permanent, Transient
from shipway.runtime.children import Send, serve

WINDOW = "2026-01-01T00:00:00+00:00"


def work(order: dict[str, Any], send: Send) -> Any:
    send({"stage": "data", "fraction": 0.1, "message": "reading"})
    match order["spec"].get("description"):
        case "refused":
            raise Permanent("n: is not a column")
        case "unavailable":
            raise Transient("the data is away")
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "long":
            time.sleep(60)
    return {
        "digest": "d" * 64,
        "bundle_bytes": 5,
        "training_rows": 10,
        "set_aside_rows": {"no target": 1},
        "metrics": {"auc": 0.7},
        "windows": dict.fromkeys(("train_from", "train_to", "holdout_from", "holdout_to"), WINDOW),
    }


if __name__ == "__main__":
    serve(work)

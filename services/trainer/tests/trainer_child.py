"""A training that does what its model's description says, for test_worker: ``what`` or ``what@stage``."""

import os
import signal
import time
from typing import Any

from shipway.contract.errors import Permanent, Transient
from shipway.runtime.children import Send, serve

WINDOW = "2026-01-01T00:00:00+00:00"
WINDOWS = dict.fromkeys(("train_from", "train_to", "holdout_from", "holdout_to"), WINDOW)
TRIAL = {"params": {"num_leaves": 7}, "state": "done", "figure": 0.7}
BEST = [TRIAL, TRIAL | {"params": {"num_leaves": 9}}]
RESULTS: dict[str, dict[str, Any]] = {
    "get-data": {"rows": 12, "windows": WINDOWS},
    "clean": {"rows": 10, "set_aside": {"no target": 1}},
    "preprocess": {"rows": 10, "validation_rows": 1},
    "search": {"metric": "auc", "wanted": 3, "baseline": 0.6, "best": BEST, "words": "3 of 3 trials"},
    "train": {"rounds": 3},
    "import": {"rounds": 3},
    "evaluate": {"metrics": {"auc": 0.7}},
    "build": {"digest": "d" * 64, "bundle_bytes": 5},
}


def work(order: dict[str, Any], send: Send) -> Any:
    stage = order["stage"]
    if order["do"] == "survey":
        return {"windows": WINDOWS, "source": [["file", "mark"]]}
    known = {"metric": "auc", "wanted": 3, "trials": [TRIAL]} if stage == "search" else None
    if order["do"] == "code":
        return {"code": order["entry"]}
    send({"fraction": 0.1, "message": "working", "known": known})
    what, _, where = order["spec"].get("description", "").partition("@")
    match what if stage == (where or "clean") else "":
        case "refused":
            raise Permanent("n: is not a column")
        case "unavailable":
            raise Transient("the data is away")
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "long":
            time.sleep(60)
        case "lost":
            return {"lost": "clean"}
    result = dict(RESULTS[stage])
    if stage == "search" and order["earlier"]:
        result |= {"trials": [*order["earlier"]["trials"], TRIAL]}
    if stage == "build":
        result |= {"bundle_bytes": order["spec"]["training"]["params"].get("num_leaves", 5)}
    return {"output": stage[0] * 64 if stage[0] in "abcdef" else "a" * 64, "result": result}


if __name__ == "__main__":
    serve(work)

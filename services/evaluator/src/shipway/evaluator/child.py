"""``python -m shipway.evaluator.child``: measures a version in a process of its own (see runtime.children)."""

from typing import Any

import msgspec

from shipway.evaluator.measuring.exhibits import exhibits
from shipway.evaluator.measuring.holdout import measure
from shipway.runtime.children import Send, serve
from shipway.runtime.objects import open_store
from shipway.runtime.settings import DataSettings, ObjectsSettings


def work(order: dict[str, Any], _send: Send) -> dict[str, Any]:
    """Measures the version that the order names, against the champion if it names one."""
    store, allowed = open_store(ObjectsSettings(**order["objects"])), DataSettings(**order["data"])
    scored = measure(store, allowed, order["digest"], order["champion_digest"])
    return {"measured": msgspec.to_builtins(scored.measured), "exhibits": exhibits(store, allowed, scored)}


if __name__ == "__main__":
    serve(work)

"""``python -m shipway.trainer.child``: one training in a process of its own (see runtime.children)."""

from datetime import datetime
from typing import Any

from shipway.contract.spec import recorded_spec
from shipway.runtime.children import Send, serve
from shipway.runtime.objects import open_store
from shipway.runtime.settings import DataSettings, ObjectsSettings
from shipway.trainer.pipeline import train_version


def work(order: dict[str, Any], send: Send) -> dict[str, Any]:
    """Trains by the order; gives what TrainingCompleted tells of the version."""
    until = order["until"]
    return train_version(
        open_store(ObjectsSettings(**order["objects"])),
        DataSettings(**order["data"]),
        recorded_spec(order["spec"]),
        datetime.fromisoformat(until) if until else None,
        order["max_threads"],
        lambda stage, fraction, message: send({"stage": stage, "fraction": fraction, "message": message}),
    )


if __name__ == "__main__":
    serve(work)

"""``python -m shipway.trainer.child``: stages of a training, one after the other, in a process of its own.

What a stage gives stays in memory as well, for the next ones: only what other processes did is read from the store.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from shipway.contract.errors import Permanent
from shipway.contract.spec import recorded_spec
from shipway.runtime.children import Send, serve
from shipway.runtime.objects import open_store
from shipway.runtime.settings import DataSettings, ObjectsSettings
from shipway.trainer.adopting import ADOPT
from shipway.trainer.kinds import STAGES_OF, Kind, StageName
from shipway.trainer.outputs import OutputLost, get_output, put_output
from shipway.trainer.ownpython import code_of
from shipway.trainer.pipeline import DO, survey
from shipway.trainer.stages import reads
from shipway.trainer.work import Work


class Hands:
    """Works on orders: a survey of the data, or a stage."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def __call__(self, order: dict[str, Any], send: Send) -> dict[str, Any]:
        """What the survey found, or own code's hash; or a stage's output (SHA-256) and result, or whose is ``lost``."""
        store, allowed = open_store(ObjectsSettings(**order["objects"])), DataSettings(**order["data"])
        spec, stage = recorded_spec(order["spec"]), order["stage"]
        if order["do"] == "survey":
            until, asked_at = order["until"], datetime.fromisoformat(order["asked_at"])
            return survey(store, allowed, spec, datetime.fromisoformat(until) if until else None, asked_at)
        if order["do"] == "code":
            return {"code": code_of(f"{stage}.python", order["entry"], order["python"])}
        work = Work(
            store,
            allowed,
            spec,
            order["told"],
            {done["stage"]: done["result"] for done in order["before"]},
            order["max_threads"],
            lambda fraction, message, known=None: send({"fraction": fraction, "message": message, "known": known}),
            order["kind"],
            order["request_id"],
            order["earlier"],
            order["python"],
        )
        outputs: dict[StageName, str] = {done["stage"]: done["output"] for done in order["before"]}
        try:
            given = [self._value(work, name, outputs[name]) for name in reads(work.kind, stage)]
        except OutputLost as lost:
            return {"lost": lost.stage}
        value, result = _done_by(work.kind, stage)(work, *given)
        digest = "" if value is None else put_output(store, spec.name, stage, value)
        self._keep(order["kind"], stage, digest, value, outputs)
        return {"output": digest, "result": result}

    def _value(self, work: Work, stage: StageName, digest: str) -> Any:
        if digest in self._values:
            return self._values[digest]
        try:
            return get_output(work.store, work.spec.name, stage, digest, work.allowed.max_bytes)
        except Permanent as err:
            raise OutputLost(stage) from err

    def _keep(self, kind: Kind, stage: StageName, digest: str, value: Any, outputs: dict[StageName, str]) -> None:
        """Keeps the value, and of the others those that a later stage reads."""
        following = STAGES_OF[kind][STAGES_OF[kind].index(stage) + 1 :]
        later = {name for after in following for name in reads(kind, after)}
        wanted = {outputs[name] for name in later if name in outputs} | {digest}
        self._values = {kept: held for kept, held in (self._values | {digest: value}).items() if kept in wanted}


def _done_by(kind: Kind, stage: StageName) -> Callable[..., tuple[Any, dict[str, Any]]]:
    if stage == "search":
        from shipway.trainer.trials import search  # its imports cost those who don't search half a second

        return search
    return (DO | ADOPT if kind == "import" else DO)[stage]


if __name__ == "__main__":
    serve(Hands())

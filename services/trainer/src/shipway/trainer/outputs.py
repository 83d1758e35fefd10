"""What stages give each other: files in the object store by the hash of their content, ``stages/<model>/<sha256>``.

Tables are Arrow IPC files (LZ4), a trained model is MessagePack around LightGBM's text. What is read back is what was
written, by its hash; the text of a model is proven sound before LightGBM sees it all the same.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.ipc

from shipway.bundle.boosting import Prepared, Trained, booster_of
from shipway.bundle.manifest import sha256
from shipway.bundle.modelfile import check_model_text
from shipway.contract.signature import Signature, parse_signature
from shipway.contract.signature import to_builtins as signature_to_builtins
from shipway.runtime.objects import ObjectMissing, ObjectStore
from shipway.trainer.kinds import StageName
from shipway.trainer.stages import key_of_output


class OutputLost(Exception):  # noqa: N818  neither kind: the stage that made it is run again
    """A stage's output is not in the object store any more, or not as it was written."""

    def __init__(self, stage: StageName) -> None:
        super().__init__(f"the output of the stage {stage} is not in the object store any more")
        self.stage = stage


def put_output(store: ObjectStore, model: str, stage: StageName, value: Any) -> str:
    """Writes a stage's output, where it is not there yet; gives its SHA-256. Raises Transient: the store is away."""
    data = _ENCODE[stage](value)
    digest = sha256(data)
    if store.size(key_of_output(model, digest)) != len(data):
        store.put(key_of_output(model, digest), data)
    return digest


def get_output(store: ObjectStore, model: str, stage: StageName, digest: str, max_bytes: int) -> Any:
    """A stage's output.

    Raises:
        OutputLost: it is not there as it was written. Transient: the store is away.
    """
    try:
        data = store.get(key_of_output(model, digest), max_bytes)
    except ObjectMissing as err:
        raise OutputLost(stage) from err
    if sha256(data) != digest:
        raise OutputLost(stage)
    return _DECODE[stage](data)


def _table_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    options = pyarrow.ipc.IpcWriteOptions(compression="lz4")
    with pyarrow.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _table(data: bytes) -> pa.Table:
    with pyarrow.ipc.open_file(pa.BufferReader(data)) as reader:
        return reader.read_all()


def _prepared_bytes(value: tuple[Signature, Prepared]) -> bytes:
    signature, prepared = value
    columns = {f"f{i}": prepared.features[:, i] for i in range(prepared.features.shape[1])}
    told = {"signature": signature_to_builtins(signature), "validation_rows": prepared.validation_rows}
    told |= {"days": prepared.days}
    queries = {} if prepared.queries is None else {"query": prepared.queries}
    table = pa.table(columns | {"label": prepared.labels} | queries)
    return _table_bytes(table.replace_schema_metadata({"shipway": msgspec.json.encode(told)}))


def _prepared(data: bytes) -> tuple[Signature, Prepared]:
    table = _table(data)
    told = msgspec.json.decode(table.schema.metadata[b"shipway"])
    columns = {name: table.column(name).to_numpy() for name in table.column_names}
    label, queries = columns.pop("label"), columns.pop("query", None)
    features = np.ascontiguousarray(np.column_stack(list(columns.values())))
    days = tuple(told.get("days", ()))
    return parse_signature(told["signature"]), Prepared(features, label, told["validation_rows"], days, queries)


class _Model(msgspec.Struct):
    text: bytes
    rounds: int
    gains: list[float]
    features: int
    outputs: int


def _trained_bytes(trained: Trained) -> bytes:
    shape = (trained.booster.num_feature(), trained.booster.num_model_per_iteration())
    return msgspec.msgpack.encode(_Model(trained.text, trained.rounds, trained.gains, *shape))


def _trained(data: bytes) -> Trained:
    model = msgspec.msgpack.decode(data, type=_Model)
    check_model_text(model.text, features=model.features, outputs=model.outputs)
    return Trained(model.text, model.rounds, model.gains, booster_of(model.text))


_ENCODE: Mapping[StageName, Callable[[Any], bytes]] = {
    "get-data": _table_bytes,
    "clean": _table_bytes,
    "preprocess": _prepared_bytes,
    "train": _trained_bytes,
    "import": _trained_bytes,
    "evaluate": lambda report: msgspec.json.encode(report),
}
_DECODE: Mapping[StageName, Callable[[bytes], Any]] = {
    "get-data": _table,
    "clean": _table,
    "preprocess": _prepared,
    "train": _trained,
    "import": _trained,
    "evaluate": msgspec.json.decode,
}

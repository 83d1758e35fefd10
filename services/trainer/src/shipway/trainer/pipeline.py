"""The stages of a training: data, prepare, train, bundle. Runs in the child process; all of it blocks."""

import platform
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version as installed
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from shipway.bundle.boosting import Prepared, boost
from shipway.bundle.datasets import describe_window, newest_time, read_window, windows_of
from shipway.bundle.features import encode_table, encode_target, learn_signature
from shipway.bundle.manifest import Windows
from shipway.bundle.store import write_bundle
from shipway.contract.errors import InvalidField
from shipway.contract.signature import Signature
from shipway.contract.signature import to_builtins as signature_to_builtins
from shipway.contract.spec import ModelSpec
from shipway.contract.spec import to_builtins as spec_to_builtins
from shipway.runtime.objects import ObjectStore
from shipway.runtime.settings import DataSettings
from shipway.trainer.report import golden_file, reference_file, report_of

Tell = Callable[[str, float, str], None]
# Where each stage begins, as a share of the whole.
_BEGIN = {"data": 0.0, "prepare": 0.1, "train": 0.2, "bundle": 0.9}


def train_version(
    store: ObjectStore, allowed: DataSettings, spec: ModelSpec, until: datetime | None, max_threads: int, tell: Tell
) -> dict[str, Any]:
    """Trains on the data before ``until`` (None: all there is), and writes the bundle.

    Raises:
        Permanent: the data or the spec does not allow it. Transient: data or store are away.
    """
    tell("data", _BEGIN["data"], f"reading {spec.data.source}")
    windows = _windows(store, allowed, spec, until)
    table = read_window(store, spec, windows.train_from, windows.train_to, allowed)
    tell("prepare", _BEGIN["prepare"], f"{table.num_rows:,} rows in {describe_window(spec, windows)}")
    signature, prepared, set_aside = prepare(spec, windows, table)

    def on_round(done: int, rounds: int) -> None:
        share = _BEGIN["train"] + (_BEGIN["bundle"] - _BEGIN["train"]) * done / rounds
        tell("train", share, f"round {done} of at most {rounds}")

    tell("train", _BEGIN["train"], f"{len(prepared.labels):,} rows, {prepared.validation_rows:,} of them to stop by")
    model = boost(spec, signature, prepared, max_threads, on_round)
    tell("bundle", _BEGIN["bundle"], f"{model.rounds} rounds")
    report = report_of(spec, signature, windows, prepared, set_aside, model)
    files = {
        "model.txt": model.text,
        "signature.json": msgspec.json.encode(signature_to_builtins(signature)),
        "golden.parquet": golden_file(spec, signature, prepared, model),
        "reference.parquet": reference_file(spec, prepared, model),
        "report.json": msgspec.json.format(msgspec.json.encode(report), indent=1),
        "spec.json": msgspec.json.encode(spec_to_builtins(spec)),
    }
    versions = {"lightgbm": installed("lightgbm"), "numpy": np.__version__, "python": platform.python_version()}
    written = write_bundle(store, files, model=spec.name, library_versions=versions, windows=windows)
    return {
        "digest": written.digest,
        "bundle_bytes": written.total_bytes,
        "training_rows": len(prepared.labels),
        "set_aside_rows": set_aside,
        "metrics": report["validation_metrics"],
        "windows": report["windows"],
    }


def prepare(spec: ModelSpec, windows: Windows, table: pa.Table) -> tuple[Signature, Prepared, dict[str, int]]:
    """The signature, the numbers, and how many rows were set aside, by why.

    Raises:
        Permanent: too few rows, a column of the wrong type, or a target with one class.
    """
    if table.num_rows == 0:
        raise InvalidField("data", f"holds no rows in the training window, {describe_window(spec, windows)}")
    if pa.types.is_null(table.schema.field(spec.target.column).type) or table.column(spec.target.column).null_count == (
        table.num_rows
    ):
        raise InvalidField("target.column", f"{spec.target.column!r} is null in all {table.num_rows:,} rows")
    signature = learn_signature(spec, table)
    labels, has_target = encode_target(signature, table)
    rows, without = int(has_target.sum()), int((~has_target).sum())
    if rows < spec.training.min_rows:
        raise InvalidField(
            "training.min_rows",
            f"the training window, {describe_window(spec, windows)}, holds {rows:,} rows with a target"
            f" ({without:,} without), fewer than {spec.training.min_rows:,}; lengthen data.train or lower the limit",
        )
    validation = int(rows * spec.training.validation)
    prepared = Prepared(encode_table(signature, table)[has_target], labels[has_target], validation)
    found = np.unique(prepared.labels[: rows - validation])
    if signature.output != "regression" and len(found) < 2:
        only = signature.classes[int(found[0])]
        raise InvalidField(
            "target.column", f"{spec.target.column!r} is {only!r} in all rows to train on; it needs two classes or more"
        )
    return signature, prepared, {"no target": without}


def _windows(store: ObjectStore, allowed: DataSettings, spec: ModelSpec, until: datetime | None) -> Windows:
    try:
        return windows_of(spec, until or newest_time(store, spec, allowed))
    except OverflowError as err:
        raise InvalidField("until", f"{until} leaves no room for the windows of the spec") from err

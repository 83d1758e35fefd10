"""What each stage of a training does, on real data. Runs in the child process; all of it blocks."""

import platform
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from importlib.metadata import version as installed
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from shipway.bundle.boosting import Prepared, Trained, boost
from shipway.bundle.datasets import newest_time, read_rows
from shipway.bundle.features import encode_table, encode_target, learn_signature
from shipway.bundle.ranking import in_queries, newest_rows
from shipway.bundle.referencedays import days_of
from shipway.bundle.sourcestate import fingerprint
from shipway.bundle.store import write_bundle
from shipway.bundle.windows import describe_window, windows_of
from shipway.contract.errors import InvalidField
from shipway.contract.signature import Signature, encode_signature
from shipway.contract.spec import ModelSpec
from shipway.contract.spec import to_builtins as spec_to_builtins
from shipway.runtime.objects import ObjectStore
from shipway.runtime.settings import DataSettings
from shipway.trainer.checks import (
    Rows,
    hold,
    problems_of_figures,
    problems_of_history,
    problems_of_queries,
    problems_of_rows,
)
from shipway.trainer.kinds import StageName
from shipway.trainer.measures import figures_of, queries_of, set_aside
from shipway.trainer.ownpython import function_of, rows_kept, rows_made
from shipway.trainer.report import golden_file, reference_file, report_of
from shipway.trainer.stages import BEGINS
from shipway.trainer.work import Work


def survey(
    store: ObjectStore, allowed: DataSettings, spec: ModelSpec, until: datetime | None, asked_at: datetime
) -> dict[str, Any]:
    """What get-data's output depends on besides the model file: the windows, and what the source holds now.

    Of the history only what was known when the training was asked for, less the time that files take.

    Raises:
        Permanent: the data is not there, or may not be read. Transient: it is away.
    """
    as_of = asked_at - timedelta(seconds=allowed.history_lag_s) if spec.data.from_history else None
    try:
        windows = windows_of(spec, until or newest_time(store, spec, allowed, as_of), as_of)
    except OverflowError as err:
        raise InvalidField("until", f"{until} leaves no room for the windows of the spec") from err
    moments = {name: moment.isoformat() for name, moment in asdict(windows).items() if moment is not None}
    return {"windows": moments, "source": fingerprint(store, spec, allowed, windows)}


def get_data(work: Work) -> tuple[pa.Table, dict[str, Any]]:
    """The rows of the training window."""
    spec, windows = work.spec, work.windows
    work.tell(BEGINS["get-data"], f"reading {spec.data.source}")
    table, lived = read_rows(work.store, spec, windows.train_from, windows.train_to, work.allowed, windows.as_of)
    told = {"rows": table.num_rows, "windows": work.told["windows"]}
    if lived is not None:
        hold(problems_of_history(spec, table.num_rows, lived, describe_window(spec, windows)))
        told["history"] = asdict(lived) | {"exploration_share": lived.exploration_share}
    if table.num_rows == 0:
        raise InvalidField("data", f"holds no rows in the training window, {describe_window(spec, windows)}")
    return table, told


def clean(work: Work, table: pa.Table) -> tuple[pa.Table, dict[str, Any]]:
    """The rows that can be trained on; the others are set aside, and counted by why."""
    spec, windows = work.spec, work.windows
    work.tell(BEGINS["clean"], f"{table.num_rows:,} rows in {describe_window(spec, windows)}")
    if pa.types.is_null(table.schema.field(spec.target.column).type) or table.column(spec.target.column).null_count == (
        table.num_rows
    ):
        raise InvalidField("target.column", f"{spec.target.column!r} is null in all {table.num_rows:,} rows")
    left, counts = set_aside(spec, table)
    if spec.clean is not None:
        kept = rows_kept("clean.python", function_of("clean.python", spec.clean.python, work.python), table)
        counts["by clean.python"] = int((left & ~kept).sum())
        left &= kept
    rows = int(left.sum())
    hold(problems_of_rows(spec, Rows(rows, counts, describe_window(spec, windows))))
    table = table if rows == table.num_rows else table.filter(pa.array(left))
    told = {"rows": rows, "set_aside": counts}
    if spec.data.query_column is not None:
        found = queries_of(spec, table)
        hold(problems_of_queries(spec, found))
        told |= {"queries": found.queries, "queries_that_tell": found.telling}
    return table, told


def preprocess(work: Work, table: pa.Table) -> tuple[tuple[Signature, Prepared], dict[str, Any]]:
    """The signature, and the rows as numbers, the newest ones (of a ranking, the newest queries) to validate on."""
    spec = work.spec
    work.tell(BEGINS["preprocess"], f"{table.num_rows:,} rows")
    if spec.preprocess is not None:
        own = function_of("preprocess.python", spec.preprocess.python, work.python)
        table = rows_made("preprocess.python", own, table, spec)
    signature = learn_signature(spec, table)
    table, queries = in_queries(spec, table)
    labels, known = encode_target(signature, table)
    if queries is not None and not known.all():
        raise InvalidField("preprocess.python", f"gives {int((~known).sum()):,} rows without a relevance")
    validation = newest_rows(queries, len(labels), spec.training.validation)
    days = days_of(table.column(spec.data.time_column)) if spec.data.time_column in table.column_names else ()
    prepared = Prepared(encode_table(signature, table), labels, validation, days, queries)
    found = np.unique(prepared.labels[: len(labels) - validation])
    if signature.classes and len(found) < 2:
        only = signature.classes[int(found[0])]
        raise InvalidField(
            "target.column", f"{spec.target.column!r} is {only!r} in all rows to train on; it needs two classes or more"
        )
    hold(problems_of_figures(spec, figures_of(signature, prepared)))
    return (signature, prepared), {"rows": len(labels), "validation_rows": validation}


def train(work: Work, prepared: tuple[Signature, Prepared]) -> tuple[Trained, dict[str, Any]]:
    """The model."""
    signature, rows = prepared

    def on_round(done: int, rounds: int) -> None:
        share = BEGINS["train"] + (BEGINS["evaluate"] - BEGINS["train"]) * done / rounds
        work.tell(share, f"round {done} of at most {rounds}")

    work.tell(BEGINS["train"], f"{len(rows.labels):,} rows, {rows.validation_rows:,} of them to stop by")
    model = boost(work.spec, signature, rows, work.max_threads, on_round)
    return model, {"rounds": model.rounds}


def evaluate(work: Work, prepared: tuple[Signature, Prepared], model: Trained) -> tuple[Any, dict[str, Any]]:
    """The training report: how the model does on the rows that it was stopped by, and what it was made from."""
    signature, rows = prepared
    work.tell(BEGINS["evaluate"], f"{rows.validation_rows:,} rows to validate on")
    report = report_of(work.spec, signature, work.windows, rows, dict(work.results["clean"]["set_aside"]), model)
    if work.kind == "import":  # by what parameters it was trained, nobody here knows
        report["params"] = {}
    if "history" in work.results["get-data"]:
        report["history"] = work.results["get-data"]["history"]
    return report, {"metrics": report["validation_metrics"]}


def build(
    work: Work, prepared: tuple[Signature, Prepared], model: Trained, report: dict[str, Any]
) -> tuple[None, dict[str, Any]]:
    """The bundle, whole in the object store. What is looked up is said here, as no earlier stage depends on it."""
    signature, rows = prepared
    served = msgspec.structs.replace(signature, lookups=[one.rule for one in work.spec.lookups])
    work.tell(BEGINS["build"], f"{model.rounds} rounds")
    files = {
        "model.txt": model.text,
        "signature.json": encode_signature(served),
        "golden.parquet": golden_file(work.spec, signature, rows, model),
        "reference.parquet": reference_file(work.spec, rows, model),
        "report.json": msgspec.json.format(msgspec.json.encode(report), indent=1),
        "spec.json": msgspec.json.encode(spec_to_builtins(work.spec)),
    }
    versions = {"lightgbm": installed("lightgbm"), "numpy": np.__version__, "python": platform.python_version()}
    written = write_bundle(work.store, files, model=work.spec.name, library_versions=versions, windows=work.windows)
    return None, {"digest": written.digest, "bundle_bytes": written.total_bytes}


DO: dict[StageName, Callable[..., tuple[Any, dict[str, Any]]]] = {
    "get-data": get_data,
    "clean": clean,
    "preprocess": preprocess,
    "train": train,
    "evaluate": evaluate,
    "build": build,
}

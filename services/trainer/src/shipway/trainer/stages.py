"""The stages of a training: what each reads, what its output depends on, and so when one need not run again. Pure.

A stage's key is the hash of all that its output depends on: the parts of the model file that it looks at, what the
stages before it gave, and the revision of its code. Two runs with one key give one output.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version as installed
from typing import Any

import msgspec

from shipway.bundle.manifest import check_digest
from shipway.contract.spec import HISTORY
from shipway.trainer.kinds import ALL_STAGES, Kind, StageName

# Raised when a stage gives something else for the same inputs: what older code gave is not taken any more.
_REVISION: Mapping[StageName, int] = dict.fromkeys(ALL_STAGES, 1)
# The outputs that each stage reads; what the others told in their results it is told, too.
READS: Mapping[StageName, tuple[StageName, ...]] = {
    "get-data": (),
    "clean": ("get-data",),
    "preprocess": ("clean",),
    "search": ("preprocess",),
    "train": ("preprocess",),
    "import": ("preprocess",),
    "evaluate": ("preprocess", "train"),
    "build": ("preprocess", "train", "evaluate"),
    "record": (),
}
# A version has a bundle of its own, also where it is made of the same parts as another: either may be removed. Another
# search tries other parameters.
ALWAYS_RUN: frozenset[StageName] = frozenset({"search", "build", "record"})
# Where each stage begins, as a share of the whole.
BEGINS: Mapping[StageName, float] = {
    "get-data": 0.0,
    "clean": 0.08,
    "preprocess": 0.12,
    "search": 0.18,
    "train": 0.18,
    "import": 0.18,
    "evaluate": 0.9,
    "build": 0.93,
    "record": 0.98,
}
_LIMITS = ("time_limit", "max_attempts", "threads", "min_rows", "requests")


def reads(kind: Kind, stage: StageName) -> tuple[StageName, ...]:
    """The stages of a job of this kind whose outputs the stage reads: of an import, the model is what import gave."""
    return tuple("import" if kind == "import" and name == "train" else name for name in READS[stage])


@dataclass(frozen=True)
class Done:
    """A stage that is done: the SHA-256 of its output (empty: it has none), and what it tells of it."""

    stage: StageName
    output: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)


def key_of_output(model: str, digest: str) -> str:
    """The object key of a stage's output."""
    return f"stages/{model}/{check_digest(digest)}"


def key_of(stage: StageName, spec: Mapping[str, Any], order: Mapping[str, Any], before: Sequence[Done]) -> str:
    """The stage's key, 64 hexadecimal digits.

    ``spec`` is the model file as JSON-like data, ``before`` what the stages before it gave, ``order`` what else the
    stage is told: for get-data what the source holds now, for an import its files, and the hash of own code.
    """
    parts = {
        "model": spec["name"],  # what is kept is a model's own, also where two have the same data
        "stage": stage,
        "revision": _REVISION[stage],
        "spec": _looks_at(stage, spec),
        "order": order,
        "before": [[done.stage, done.output, done.result] for done in before],
        "lightgbm": installed("lightgbm") if stage in ("search", "train", "import", "evaluate") else "",
    }
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()


def still_good(done: Sequence[tuple[Done, str, Mapping[str, Any]]], spec: Mapping[str, Any]) -> int:
    """How many of a job's stages, from the first, need not run again under ``spec``; each with its key and order."""
    stages = [one[0] for one in done]
    for at, (stage, key, order) in enumerate(done):
        if key != key_of(stage.stage, spec, order, stages[:at]):
            return at
    return len(done)


def _looks_at(stage: StageName, spec: Mapping[str, Any]) -> Any:
    training: Mapping[str, Any] = spec.get("training", {})
    # Only rankings have these, and so the keys of other models stay as they were.
    query = [spec["data"]["query_column"]] if spec["data"].get("query_column") else []
    cut = [spec["gates"]["ndcg_at"]] if spec.get("gates", {}).get("ndcg_at") else []
    match stage:
        case "get-data" if spec["data"]["source"] == HISTORY:
            return [spec["data"], spec["target"], spec["features"], spec.get("labels")]
        case "get-data":
            return [spec["data"], spec["target"]["column"], list(spec["features"])]
        case "clean":
            looked_at = [spec["data"], spec["target"], spec["features"], training.get("min_rows"), spec.get("checks")]
            looked_at += [spec.get("gates", {}).get("slices")] if query else []
            return [*looked_at, spec["clean"]] if spec.get("clean") else looked_at
        case "preprocess":
            looked_at = [spec["target"], spec["features"], training.get("validation"), spec.get("checks"), *query]
            return [*looked_at, spec["preprocess"]] if spec.get("preprocess") else looked_at
        case "train":
            return [spec["target"], _of_training(training), *cut]
        case "import":
            return [spec["target"], spec["features"]]
        case "search":
            gates = [spec.get("gates", {}).get("metric"), *cut]
            return [spec["target"], _of_training(training), spec.get("search"), *gates]
        case "evaluate":
            return [spec["name"], spec["target"], training.get("params"), *cut]
        case _:
            return spec


def _of_training(training: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in training.items() if name not in _LIMITS}

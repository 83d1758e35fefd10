"""The kinds of jobs: the stages of each, what each makes of the model file, how long it may take. Pure.

training   a version of the newest data
search     trials of other parameters; what it finds becomes candidates
candidate  a training with the parameters that a search found
import     a version of a model that was trained elsewhere
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

from shipway.contract.spec import STAGES, ModelSpec, StagePolicy
from shipway.contract.spec import StageName as TrainingStage

Kind = Literal["training", "search", "candidate", "import"]
StageName = Literal[TrainingStage, "search", "import"]

STAGES_OF: Mapping[Kind, tuple[StageName, ...]] = {
    "training": STAGES,
    "search": ("get-data", "clean", "preprocess", "search", "record"),
    "candidate": STAGES,
    "import": ("get-data", "clean", "preprocess", "import", "evaluate", "build", "record"),
}
ALL_STAGES: tuple[StageName, ...] = tuple(dict.fromkeys(name for names in STAGES_OF.values() for name in names))
# What TrainingCompleted says of where a version is from; a search itself gives none.
ORIGIN_OF: Mapping[Kind, str] = {"training": "training", "candidate": "search", "import": "import"}
# A search ends by itself when its time is over; this is for one that does not.
_SEARCH_GRACE = timedelta(minutes=1)


def policy_of(spec: ModelSpec, stage: StageName) -> StagePolicy:
    """How a stage is run, with nothing left open."""
    if stage == "import":
        return spec.policy("train")
    if stage != "search":
        return spec.policy(stage)
    limit = spec.search.time_limit + max(_SEARCH_GRACE, spec.search.time_limit / 4)
    return StagePolicy(time_limit=limit, max_attempts=spec.training.max_attempts, service_level=limit)


def time_limit_of(kind: Kind, spec: ModelSpec) -> timedelta:
    """How long all stages of a job may take together."""
    limit = policy_of(spec, "search").time_limit if kind == "search" else None
    return spec.training.time_limit + (limit or timedelta(0))


def told_to(kind: Kind, stage: StageName, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What a stage is told of what was asked for: of an import, the SHA-256 of the files that it reads."""
    files: Mapping[str, str] = asked.get("files", {})
    reads = {"preprocess": ("signature.json",), "import": ("model.txt", "golden.parquet")}.get(stage, ())
    return {name: files[name] for name in reads if name in files} if kind == "import" else {}


def own_python(spec: ModelSpec, kind: Kind, stage: StageName) -> str | None:
    """The entry point of the model's own Python for a stage, if it has one. An import's rows are only described."""
    own = {"clean": spec.clean, "preprocess": None if kind == "import" else spec.preprocess}.get(stage)
    return None if own is None else own.python


def laid_over(declared: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """A model file with what was asked for in it: fields of sections that both have are ``asked``'s."""
    merged = dict(declared)
    for name, value in asked.items():
        below = merged.get(name)
        merged[name] = laid_over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged

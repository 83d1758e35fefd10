"""Gathers what a verdict is given on: opens the bundles, tries the model, has the holdout scored in a child."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from shipway.bundle.modelfile import check_model_text
from shipway.bundle.store import Bundle, read_bundle
from shipway.bundle.trial import try_in_child
from shipway.contract.errors import Permanent, Transient
from shipway.evaluator.facts import Champion, Evidence, Measured, Opened
from shipway.evaluator.gates.outcome import NOT_JUDGED
from shipway.evaluator.settings import JudgeSettings
from shipway.evaluator.store import Candidate, ChampionRow
from shipway.evaluator.turns import Stopped
from shipway.runtime.children import ChildEnd, run_child
from shipway.runtime.objects import ObjectMissing, ObjectStore
from shipway.runtime.settings import DataSettings, ObjectsSettings

CHILD = "shipway.evaluator.child"
TRIAL_MEMORY_MB = 8192


class ChildCrashed(Exception):  # noqa: N818  neither Permanent nor Transient: tried again, but not for ever
    """The process that scores the holdout died, or was ended for taking too long; with the evidence without it."""

    def __init__(self, problem: str, evidence: Evidence) -> None:
        super().__init__(problem)
        self.evidence = evidence


@dataclass(frozen=True)
class Court:
    """What gathering needs."""

    store: ObjectStore
    objects: ObjectsSettings
    data: DataSettings
    settings: JudgeSettings
    child: str = CHILD
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


async def gather(court: Court, candidate: Candidate, champion: ChampionRow | None) -> Evidence:
    """The evidence on a candidate, as far as it can be had.

    Raises:
        Transient: the object store or the data are away. ChildCrashed, Stopped: see there.
    """
    reigning = None if champion is None else await _champion(court.store, champion)
    try:
        bundle = await asyncio.to_thread(read_bundle, court.store, candidate.digest)
        if bundle.manifest.model != candidate.model:
            raise Permanent(f"the bundle is of model {bundle.manifest.model!r}")
    except ObjectMissing as err:
        return _unopened(f"bundle missing: {err}", reigning)
    except Permanent as err:
        return _unopened(str(err), reigning)
    opened = Opened(
        spec=bundle.spec,
        signature=bundle.signature,
        total_bytes=sum(map(len, bundle.files.values())),
        train_to=bundle.manifest.train_to,
        holdout_from=bundle.manifest.holdout_from,
    )
    features, outputs = len(bundle.signature.features), bundle.signature.outputs_per_row
    bad_file = await _problem(lambda: check_model_text(bundle.model_text, features=features, outputs=outputs))
    if bad_file is not None:
        why = NOT_JUDGED + "the model file is not safe to open"
        return Evidence(opened, None, bad_file, why, None, "the model file is not safe to open", reigning)
    bad_golden = await _problem(lambda: _try(court.settings, bundle))
    if bad_golden is not None:
        why = "the model does not give its golden scores"
        return Evidence(opened, None, None, bad_golden, None, why, reigning)
    end = await _score_holdout(court, candidate, champion)
    if end.kind in ("crashed", "timed_out"):
        problem = f"scoring the holdout: {end.reason}"
        raise ChildCrashed(problem, Evidence(opened, measuring_problem=problem, champion=reigning))
    try:
        measured = msgspec.convert(end.result["measured"], Measured) if end.kind == "done" else None
    except msgspec.ValidationError as err:
        problem = f"the judging process told what can't be: {err}"
        raise ChildCrashed(problem, Evidence(opened, measuring_problem=problem, champion=reigning)) from err
    exhibits = end.result["exhibits"] if end.kind == "done" else {}
    return Evidence(
        opened, measured=measured, measuring_problem=end.reason or None, champion=reigning, exhibits=exhibits
    )


def _unopened(problem: str, reigning: Champion | None) -> Evidence:
    later = NOT_JUDGED + "the bundle can't be read"
    return Evidence(None, problem, later, later, None, "the bundle can't be read", reigning)


async def _champion(store: ObjectStore, champion: ChampionRow) -> Champion:
    try:
        bundle = await asyncio.to_thread(read_bundle, store, champion.digest)
    except Permanent:
        return Champion(champion.version, None)
    return Champion(champion.version, bundle.signature)


async def _problem(check: Callable[[], Any]) -> str | None:
    try:
        await asyncio.to_thread(check)
    except Permanent as err:
        return str(err)
    return None


def _try(settings: JudgeSettings, bundle: Bundle) -> None:
    try_in_child(
        bundle.model_text,
        bundle.golden_rows,
        bundle.golden_scores,
        timeout_s=settings.trial_limit_s,
        memory_mb=settings.memory_mb or TRIAL_MEMORY_MB,
    )


async def _score_holdout(court: Court, candidate: Candidate, champion: ChampionRow | None) -> ChildEnd:
    order = {
        "objects": court.objects.model_dump() | {"secret_key": court.objects.secret_key.get_secret_value()},
        "data": court.data.model_dump(),
        "digest": candidate.digest,
        "champion_digest": None if champion is None else champion.digest,
    }
    end = await run_child(
        court.child,
        order,
        time_limit_s=court.settings.time_limit_s,
        memory_mb=court.settings.memory_mb,
        stop=court.stopping,
    )
    if end.kind == "transient":
        raise Transient(end.reason)
    if end.kind == "stopped":
        raise Stopped
    return end

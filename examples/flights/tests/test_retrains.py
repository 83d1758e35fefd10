"""Retrains on real flights, judged as the evaluator does: a good one passes, each bad one fails for its own reason.

Some pass, and fail live: those are rolled back by the releaser's rules, on the flights of the week after.
"""

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from shipway.bundle.features import encode_table
from shipway.bundle.store import Bundle, read_bundle
from shipway.contract.errors import Permanent
from shipway.contract.latency import BUCKETS, bucket
from shipway.contract.spec import STAGES, Release, parse_spec, parse_toml, to_builtins
from shipway.evaluator.facts import Champion, Evidence, Opened
from shipway.evaluator.measuring.holdout import measure
from shipway.evaluator.verdict import Verdict, judge
from shipway.monitor.quality import Judge, Quality
from shipway.predictor.distance import distances
from shipway.predictor.scoring import Scorer
from shipway.releaser.counts import Instance, Loaded
from shipway.releaser.counts import Quality as Labelled
from shipway.releaser.release import decide
from shipway.releaser.state import ENDED, Limits, Model, Version
from shipway.releaser.state import Release as Rollout
from shipway.runtime.objects import FolderStore
from shipway.runtime.settings import DataSettings
from shipway.trainer.child import Hands

pytestmark = pytest.mark.slow

HERE = Path(__file__).parents[1]
MONTHS = 3
FIRST, SECOND = datetime(2013, 3, 8, tzinfo=UTC), datetime(2013, 3, 22, tzinfo=UTC)
HOLDOUT_FROM = datetime(2013, 3, 12, tzinfo=UTC)
ALLOWED = DataSettings(folders="/")
Spoil = Callable[[pa.Table], tuple[pa.Table, dict[str, Any]]]


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("flights_make_data", HERE / "make_data.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def flights() -> pa.Table:
    """The flights of three months, with what nobody knew in time: by how much each was late."""
    made = load()
    source = made.read_source()
    few = source.flights.filter(pc.less_equal(source.flights["month"], MONTHS))
    table = made.make_table(made.Source(few, source.weather, source.airports))
    by_departure = np.argsort(made._minutes(few["time_hour"]) + made._ints(few["minute"]), kind="stable")
    return table.append_column("arrival_delay", few["arr_delay"].take(pa.array(by_departure)).cast(pa.float64()))


@dataclass(frozen=True)
class Desk:
    """Trains versions as the trainer does, and judges them as the evaluator does."""

    folder: Path

    def train(self, table: pa.Table, until: datetime, **changes: Any) -> Bundle:
        """A version on this table; ``changes`` are sections of the model file, merged into those of the example."""
        data = self.folder / f"data-{len(list(self.folder.iterdir()))}"
        data.mkdir()
        pq.write_table(table, data / "rows.parquet")
        raw = to_builtins(parse_toml((HERE / "flights.toml").read_text()))
        raw["data"] |= {"source": f"folder:{data}", "train": "40d", "holdout": "10d"}
        raw["training"] |= {"rounds": 30, "validation": 0.0, "early_stopping_rounds": None, "threads": 1}
        raw["training"]["params"] |= {"learning_rate": 0.15, "min_data_in_leaf": 100}
        raw["gates"] |= {"min_holdout_rows": 3000, "stability_rows": 5000, "max_regression": 0.01}
        for section, of in changes.items():
            raw[section] = of if section == "features" else raw.get(section, {}) | of
        return self._run(to_builtins(parse_spec(raw)), until)

    def _run(self, spec: dict[str, Any], until: datetime) -> Bundle:
        hands = Hands()
        objects = self.folder / "objects"
        order: dict[str, Any] = {
            "do": "survey",
            "stage": "get-data",
            "spec": spec,
            "until": until.isoformat(),
            "asked_at": until.isoformat(),
            "objects": {"url": f"file://{objects}"},
            "data": {"folders": "/"},
            "max_threads": 1,
            "kind": "training",
            "request_id": "r",
            "earlier": None,
            "python": "",
        }
        order |= {"do": "stage", "told": hands(order, lambda _: None), "before": []}
        for stage in STAGES[:-1]:
            gave = hands(order | {"stage": stage}, lambda _: None)
            order["before"].append({"stage": stage, "output": gave["output"], "result": gave["result"]})
        return read_bundle(FolderStore(objects), order["before"][-1]["result"]["digest"])

    def judge(self, bundle: Bundle, champion: Bundle | None) -> Verdict:
        """The verdict; files and golden rows are taken for sound."""
        scored = measure(
            FolderStore(self.folder / "objects"), ALLOWED, bundle.digest, champion.digest if champion else None
        )
        size, manifest = sum(map(len, bundle.files.values())), bundle.manifest
        opened = Opened(bundle.spec, bundle.signature, size, manifest.train_to, manifest.holdout_from)
        reigning = None if champion is None else Champion(1, champion.signature)
        return judge(Evidence(opened, measured=scored.measured, champion=reigning))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("desk"))


@pytest.fixture(scope="module")
def champion(desk: Desk, flights: pa.Table) -> Bundle:
    """The version in service, approved as a first one."""
    first = desk.train(flights, FIRST)
    verdict = desk.judge(first, None)
    assert verdict.approved, verdict.reason
    return first


def test_a_good_retrain_is_approved(desk: Desk, champion: Bundle, flights: pa.Table) -> None:
    verdict = desk.judge(desk.train(flights, SECOND), champion)
    assert verdict.approved, verdict.reason


def shuffled(flights: pa.Table) -> tuple[pa.Table, dict[str, Any]]:
    """Labels dealt out anew among the rows before the holdout."""
    before = pc.less(flights["scheduled_departure"], pa.scalar(HOLDOUT_FROM)).to_numpy()
    labels = np.array(flights["late"].to_pylist(), dtype=object)
    labels[before] = np.random.default_rng(1).permutation(labels[before])
    at = flights.column_names.index("late")
    return flights.set_column(at, "late", pa.array(labels.tolist(), pa.bool_())), {}


def features(**more: Any) -> dict[str, Any]:
    declared: dict[str, Any] = to_builtins(parse_toml((HERE / "flights.toml").read_text()))["features"]
    return declared | more


def leaked(flights: pa.Table) -> tuple[pa.Table, dict[str, Any]]:
    """The delay itself as a feature. The trainer's own check is turned off: this is the second wall."""
    with_answer = features(arrival_delay={"type": "number", "optional": True})
    return flights, {"features": with_answer, "checks": {"max_alone": 1.0}}


def dropped(flights: pa.Table) -> tuple[pa.Table, dict[str, Any]]:
    """A feature fewer than clients send."""
    return flights, {"features": {n: f for n, f in features().items() if n != "origin_delay_2h"}}


def few_to_judge(flights: pa.Table) -> tuple[pa.Table, dict[str, Any]]:
    """A holdout of two days."""
    return flights, {"data": {"holdout": "2d"}}


def few_to_learn(flights: pa.Table) -> tuple[pa.Table, dict[str, Any]]:
    """A training window of a day, which the trainer was told to take."""
    return flights, {"data": {"train": "1d"}, "training": {"min_rows": 100}}


def unstable(flights: pa.Table) -> tuple[pa.Table, dict[str, Any]]:
    """Two small trees, each of one feature that chance picks; and gates that are open to all that this may give."""
    wild = {"learning_rate": 0.5, "num_leaves": 4, "feature_fraction": 0.06}
    gates = {"max_regression": 0.5, "max_slice_regression": 0.5, "floor": 0.5}
    return flights, {"training": {"params": wild, "rounds": 2}, "gates": gates}


@pytest.mark.parametrize(
    ("spoil", "gates", "reason"),
    [
        (shuffled, {"floor", "champion"}, "champion: auc "),
        (leaked, {"leakage"}, "leakage: arrival_delay: tells "),
        (dropped, {"signature-compatible"}, "origin_delay_2h: clients send it, but it is no feature any more"),
        (few_to_judge, {"holdout-size"}, "holdout-size: 1,"),
        (few_to_learn, {"champion"}, "champion: auc "),
        (unstable, {"stability"}, "stability: auc "),
    ],
)
def test_a_bad_retrain_is_rejected_for_its_reason(
    desk: Desk, champion: Bundle, flights: pa.Table, spoil: Spoil, gates: set[str], reason: str
) -> None:
    table, changes = spoil(flights)
    verdict = desk.judge(desk.train(table, SECOND, **changes), champion)
    failed = {gate.name for gate in verdict.gates if not gate.passed}
    # What is worse as a whole is worse in its slices too.
    assert failed - {"slices"} == gates
    assert reason in verdict.reason


def test_too_few_rows_are_not_trained_on_at_all(desk: Desk, flights: pa.Table) -> None:
    with pytest.raises(Permanent, match=r"training\.min_rows: .* fewer than 5,000"):
        desk.train(flights, SECOND, data={"train": "1d"})


def turned_round(flights: pa.Table) -> pa.Table:
    """Delays as minutes ahead of time, and shares of what was in time, in the training data and in the holdout alike;
    clients go on sending them as before.
    """
    for name in ("origin_delay_2h", "carrier_delay_2h", "origin_late_share_6h", "dest_late_share_6h"):
        at, best = flights.column_names.index(name), 1.0 if "share" in name else 0.0
        flights = flights.set_column(at, name, pc.subtract(best, flights[name]))
    return flights


def in_time(flights: pa.Table) -> pa.Table:
    """The label says who was in time, in the training data and in the holdout alike; clients mean who is late."""
    at = flights.column_names.index("late")
    return flights.set_column(at, "late", pc.invert(flights["late"]))


@dataclass
class Live:
    """Champion and candidate answer the same flights by LightGBM; the releaser's rules look after each batch."""

    champion: Bundle
    candidate: Bundle
    policy: Release
    slower_us: float = 0.0

    def run(self, flights: pa.Table, batch: int = 250) -> Rollout:
        """The candidate's release after these flights, or once it has ended; a minute and a look for each batch."""
        model, now = Model("flights"), SECOND
        for number in (1, 2):
            version = Version(number, f"{number:064x}")
            release = Rollout(f"flights-{number}", number, self.policy, now)
            versions, releases = {**model.versions, number: version}, {**model.releases, number: release}
            model = replace(model, versions=versions, releases=releases)
            ready = {n: Loaded(f"{n:064x}", "ready", latency=(0,) * BUCKETS) for n in range(1, number + 1)}
            ready[1] = replace(ready[1], answered=500, latency=(0, 500))  # what is slow is known by these
            model = decide(model, [Instance("p", now, ready)], now, LIMITS).model
        bundles = {1: self.champion, 2: self.candidate}
        scorers = {n: Scorer(b.model_text, len(b.signature.features), 1) for n, b in bundles.items()}
        judges = {n: Judge(b.signature) for n, b in bundles.items()}
        qualities = {1: Quality(), 2: Quality()}
        for start in range(0, len(flights), batch):
            rows = flights.slice(start, batch)
            truth = rows["late"].to_pylist()
            scores = {n: scorers[n].score(encode_table(b.signature, rows)) for n, b in bundles.items()}
            apart = float(distances("binary", scores[2], scores[1]).sum())
            for n in bundles:
                known, slow_us = ready[n], 60.0 + (self.slower_us if n == 2 else 0.0)
                latency = list(known.latency)
                latency[bucket(slow_us)] += len(rows)
                ready[n] = replace(known, answered=known.answered + len(rows), latency=tuple(latency))
                if n == 2:
                    compared, distance = known.compared + len(rows), known.distance + apart
                    ready[n] = replace(ready[n], compared=compared, distance=distance)
                for row, label in zip(scores[n], truth, strict=True):
                    if label is not None and (judged := judges[n].judge(row.tolist(), label)) is not None:
                        qualities[n].count(judged, timedelta(0))
                told = Labelled(qualities[n].labelled, qualities[n].loss_sum)
                versions = {**model.versions, n: replace(model.versions[n], quality=told)}
                model = replace(model, versions=versions)
            now += timedelta(minutes=1)
            model = decide(model, [Instance("p", SECOND, ready)], now, LIMITS).model
            if model.releases[2].state in ENDED:
                break
        return model.releases[2]


LIMITS = Limits(drain=timedelta(seconds=2), standby=10)
CANARY = Release(canary=[0.5], step=timedelta(minutes=10), min_requests=2500)


@pytest.fixture(scope="module")
def week(flights: pa.Table) -> pa.Table:
    """The flights of the nine days after the second training, of which no version has seen any."""
    return flights.filter(pc.greater_equal(flights["scheduled_departure"], pa.scalar(SECOND)))


@pytest.fixture(scope="module")
def retrain(desk: Desk, champion: Bundle, flights: pa.Table) -> Bundle:
    return desk.train(flights, SECOND)


def approved(desk: Desk, flights: pa.Table) -> Bundle:
    """A version that every gate approves, as the first one of its kind."""
    made = desk.train(flights, SECOND)
    verdict = desk.judge(made, None)
    assert verdict.approved, verdict.reason
    return made


def test_a_good_retrain_passes_live_as_a_shadow_too(champion: Bundle, retrain: Bundle, week: pa.Table) -> None:
    shadow = CANARY.model_copy(update={"shadow": 1.0, "max_distance": 0.05})
    ended = Live(champion, retrain, shadow).run(week)
    assert ended.state == "active", ended.reason


def test_features_broken_at_serving_are_found_by_the_distance_of_a_shadow(
    desk: Desk, champion: Bundle, flights: pa.Table, week: pa.Table
) -> None:
    shadow = CANARY.model_copy(update={"shadow": 1.0, "max_distance": 0.05})
    ended = Live(champion, approved(desk, turned_round(flights)), shadow).run(week)
    assert ended.state == "rolled_back" and "its scores lie" in ended.reason, ended.reason


def test_a_version_that_is_wrong_live_is_found_by_matured_labels(
    desk: Desk, champion: Bundle, flights: pa.Table, week: pa.Table
) -> None:
    ended = Live(champion, approved(desk, in_time(flights)), CANARY).run(week)
    assert ended.state == "rolled_back" and "loss by labels" in ended.reason, ended.reason


def test_a_version_that_is_slow_live_is_found_by_its_latency(champion: Bundle, retrain: Bundle, week: pa.Table) -> None:
    ended = Live(champion, retrain, CANARY, slower_us=400.0).run(week)
    assert ended.state == "rolled_back" and "were slow" in ended.reason, ended.reason

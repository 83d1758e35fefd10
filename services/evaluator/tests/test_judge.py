"""The judge with real bundles, real child processes and a real PostgreSQL."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from shipway.bundle.evaluations import report_key
from shipway.bundle.store import bundle_key
from shipway.contract.envelope import Envelope
from shipway.contract.errors import Transient
from shipway.contract.events import ModelApproved, ModelRejected, ReleasePromoted, ReleaseRolledBack
from shipway.evaluator import handlers, store
from shipway.evaluator.settings import JudgeSettings
from shipway.evaluator.tables import candidates, metadata, verdicts
from shipway.runtime.migrations import migrate

MISSING = "0" * 64
T0 = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = 2000  # every half hour, as the room has them
UNTIL = T0 + timedelta(minutes=30 * ROWS)


async def promote(room: Any, digest: str, version: int = 1, generation: int = 1) -> None:
    told = ReleasePromoted(
        model="m",
        version=version,
        digest=digest,
        release_id="x",
        generation=generation,
        previous_version=None,
        reason="",
    )
    async with room.database.begin() as tx:
        await handlers.on_promoted(tx, told, Envelope("p", "shipway/releaser", T0, told))


async def test_a_good_first_version_is_approved_with_what_a_release_needs(room: Any) -> None:
    digest = room.version()
    await room.completed(digest)
    assert await room.judge().step()
    (approved,) = await room.told()
    assert isinstance(approved, ModelApproved)
    assert all(gate.passed for gate in approved.gates)
    assert approved.metrics["auc"] > 0.7
    assert approved.release["canary"] == [0.1, 0.5]
    assert approved.prediction_log["sample"] == 0.5
    assert approved.signature["features"][0]["name"] == "n"
    assert approved.hold == ""
    report = msgspec.json.decode(room.store.get(report_key(digest), 10**6))
    assert report["approved"]
    assert report["holdout"]["rows"] == 240
    assert report["data"]["windows"]["train"]["rows"] == 1440
    (file,) = report["data"]["files"]
    assert file["sha256"] == hashlib.sha256((room.folder / "data" / "rows.parquet").read_bytes()).hexdigest()
    page = room.store.get(report_key(digest, "html"), 10**6).decode()
    assert "m version 1" in page
    assert page.count("<svg") >= 5
    assert not await room.judge().step()


async def test_what_a_search_found_is_approved_and_held(room: Any) -> None:
    digest = room.version()
    await room.completed(digest, origin="search")
    await room.judge().step()
    (approved,) = await room.told()
    assert isinstance(approved, ModelApproved)
    assert approved.hold == "its parameters were found by a search"


async def test_a_verdict_is_given_once(room: Any) -> None:
    digest = room.version()
    await room.completed(digest)
    await room.judge().step()
    await room.completed(digest)
    async with room.database.begin() as tx:
        await tx.execute(sa.update(candidates).values(judged=False))
    await room.judge().step()
    assert len(await room.told()) == 1


async def test_a_version_much_worse_than_the_champion_is_rejected(room: Any) -> None:
    champion = room.version(features=("n", "z"))
    await promote(room, champion)
    await room.completed(room.version(features=("z", "n"), trees=1, gates={"max_regression": 0.0}), 2)
    await room.judge().step()
    (verdict,) = await room.told()
    assert isinstance(verdict, ModelRejected)
    assert verdict.reason.startswith("champion: auc 0.")
    assert (verdict.champion_version, set(verdict.champion_metrics)) == (1, {"auc", "log_loss", "accuracy"})


async def test_a_new_required_feature_is_rejected_by_name(room: Any) -> None:
    await promote(room, room.version())
    await room.completed(room.version(features=("n", "z"), gates={"max_regression": 1.0}), 2)
    await room.judge().step()
    (verdict,) = await room.told()
    assert isinstance(verdict, ModelRejected)
    assert verdict.reason == "signature-compatible: z: is a new required feature; make it optional"


async def test_a_feature_that_tells_the_answer_is_rejected_by_name(room: Any) -> None:
    await room.completed(room.version(features=("n", "told")))
    await room.judge().step()
    (verdict,) = await room.told()
    assert isinstance(verdict, ModelRejected)
    assert verdict.reason.startswith("leakage: told: tells 1.000 of the target alone")


async def test_a_holdout_of_rows_that_training_saw_is_rejected(room: Any) -> None:
    file = room.folder / "data" / "rows.parquet"
    rows = pq.read_table(file)
    again = rows.slice(1000, 48)
    later = pc.add(again["at"], pa.scalar(timedelta(days=20)))
    pq.write_table(pa.concat_tables([rows, again.set_column(0, "at", later)]), file)
    await room.completed(room.version())
    await room.judge().step()
    (verdict,) = await room.told()
    assert isinstance(verdict, ModelRejected)
    assert verdict.reason.startswith("holdout-overlap: 14.29% of its rows were trained on (0.00% is usual")


async def test_a_slice_that_falls_is_rejected_though_the_whole_may(room: Any) -> None:
    await promote(room, room.version(features=("n", "part")))
    file = room.folder / "data" / "rows.parquet"
    rows = pq.read_table(file)
    training = pc.less(rows["at"], pa.scalar(UNTIL - timedelta(days=5)))
    turned = pc.and_(training, pc.equal(rows["part"], 1))
    labels = pc.if_else(turned, pc.invert(rows["y"]), rows["y"])
    pq.write_table(rows.set_column(rows.column_names.index("y"), "y", labels), file)
    gates: dict[str, Any] = {
        "slices": ["part"],
        "min_slice_rows": 40,
        "max_regression": 0.5,
        "max_slice_regression": 0.2,
    }
    gates["stability_runs"] = 0
    await room.completed(room.version(features=("n", "part"), gates=gates), 2)
    await room.judge().step()
    (verdict,) = await room.told()
    assert isinstance(verdict, ModelRejected)
    assert verdict.reason.startswith("slices: part=1: worse by 0.")
    assert verdict.reason.endswith("(60 rows); 0.2 worse is allowed")


async def test_a_missing_bundle_is_rejected(room: Any) -> None:
    await room.completed(MISSING)
    await room.judge().step()
    (verdict,) = await room.told()
    assert isinstance(verdict, ModelRejected)
    assert verdict.reason.startswith("bundle-intact: bundle missing: object bundles/000")
    assert len(verdict.gates) == 15


async def test_a_damaged_file_is_rejected(room: Any) -> None:
    digest = room.version()
    room.store.put(bundle_key(digest, "model.txt"), b"tree\n")
    await room.completed(digest)
    await room.judge().step()
    (verdict,) = await room.told()
    assert isinstance(verdict, ModelRejected)
    assert "model.txt is damaged" in verdict.reason


async def test_a_store_that_is_away_is_waited_out(room: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = room.version()
    await room.completed(digest)
    judge = room.judge()
    with monkeypatch.context() as patched:

        def away(*_: Any) -> bytes:
            raise Transient("object store: away")

        patched.setattr(room.store, "get", away)
        await judge.step()
    assert judge.problem == "object store: away"
    async with room.database.begin() as tx:
        await tx.execute(sa.update(candidates).values(not_before=sa.func.now()))
    await judge.step()
    assert judge.problem is None
    assert isinstance((await room.told())[0], ModelApproved)


async def test_data_that_is_gone_is_a_rejection_with_its_reason(room: Any) -> None:
    digest = room.version()
    (room.folder / "data" / "rows.parquet").unlink()
    await room.completed(digest)
    await room.judge().step()
    (verdict,) = await room.told()
    assert isinstance(verdict, ModelRejected)
    assert verdict.reason.startswith("holdout-size: data.source: ")
    assert "holds no .parquet file" in verdict.reason


async def test_a_process_that_crashes_is_tried_three_times(room: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    room.child = "evaluator_crash"
    await room.completed(room.version())
    for _ in range(3):
        assert await room.told() == []
        async with room.database.begin() as tx:
            await tx.execute(sa.update(candidates).values(not_before=sa.func.now()))
        assert await room.judge().step()
    (verdict,) = await room.told()
    assert isinstance(verdict, ModelRejected)
    assert verdict.reason == "holdout-size: scoring the holdout: the process was ended by SIGSEGV; tried 3 times"
    assert not msgspec.json.decode(room.store.get(report_key(verdict.digest), 10**6))["approved"]


async def test_a_stop_leaves_the_candidate_as_it_was(room: Any) -> None:
    await room.completed(room.version())
    judge = room.judge()
    await judge.stop()
    assert not await judge.step()
    room.settings = JudgeSettings()
    assert await room.judge().step()
    assert len(await room.told()) == 1


async def test_the_champion_follows_releases_and_never_goes_back(room: Any) -> None:
    await promote(room, MISSING, version=2, generation=5)
    await promote(room, MISSING, version=1, generation=4)
    async with room.database.begin() as tx:
        assert await store.champion_of(tx, "m") == store.ChampionRow(2, MISSING)
        rolled = ReleaseRolledBack(
            model="m",
            version=2,
            digest=MISSING,
            release_id="x",
            generation=6,
            champion_version=None,
            champion_digest=None,
            reason="",
        )
        await handlers.on_rolled_back(tx, rolled, Envelope("b", "shipway/releaser", T0, rolled))
        assert await store.champion_of(tx, "m") is None


async def test_migrations_go_up_and_down_and_match_the_tables(room: Any) -> None:
    def columns(connection: sa.Connection) -> dict[str, list[str]]:
        there = sa.inspect(connection)
        return {t: [c["name"] for c in there.get_columns(t, "evaluator")] for t in there.get_table_names("evaluator")}

    async with room.database.begin() as tx:
        found = await tx.run_sync(columns)
        assert (await tx.execute(sa.select(verdicts))).all() == []
    for table in metadata.sorted_tables:
        assert found[table.name] == [c.name for c in table.columns]
    await migrate(room.database, "shipway.evaluator", "base")
    async with room.database.begin() as tx:
        assert list(await tx.run_sync(columns)) == ["alembic_version"]


RANKING: dict[str, dict[str, Any]] = {
    "target": {"column": "y", "kind": "ranking"},
    "data": {"time_column": "at", "query_column": "q", "train": "30d", "holdout": "5d"},
    "gates": {"slices": ["half"], "min_slice_rows": 30, "max_spread": 0.1, "ndcg_at": 5},
}


def ranking(room: Any, **changes: Any) -> dict[str, Any]:
    return RANKING | {"data": RANKING["data"] | {"source": f"folder:{room.folder}/data"}} | changes


async def test_a_ranking_is_judged_by_queries_that_training_did_not_see(room: Any) -> None:
    digest = room.version(**ranking(room))
    await room.completed(digest)
    await room.judge().step()
    (approved,) = await room.told()
    assert isinstance(approved, ModelApproved), approved
    assert (approved.signature["output"], set(approved.metrics)) == ("ranking", {"ndcg"})
    assert approved.ndcg_at == 5
    gates = {gate.name: gate.reason for gate in approved.gates}
    # The query of ten rows that begins before the holdout lies in it with five.
    assert gates["holdout-size"].startswith("235 rows with a label (0 without)")
    assert gates["holdout-size"].endswith("; 24 queries tell, 5 rows are of queries that training saw")
    assert gates["calibration"] == "scores of a ranking state no probability and no value"
    assert "of a constant prediction" in gates["champion"]
    report = msgspec.json.decode(room.store.get(report_key(digest), 10**6))
    assert report["holdout"] == {"rows": 235, "set_aside": 0, "queries": 24, "trained_on": 5}
    assert report["metrics"]["ndcg"] > 0.75 > report["constant_metrics"]["ndcg"]
    assert sum(report["curves"]["queries"]["shares"]["version"]) == pytest.approx(1)
    assert "NDCG by query" in room.store.get(report_key(digest, "html"), 10**6).decode()
    assert sorted(one["value"] for one in report["slices"]) == ["0", "1"]


async def test_a_ranking_that_is_worse_by_query_is_rejected_beside_the_champion(room: Any) -> None:
    await promote(room, room.version(features=("n", "z"), **ranking(room)))
    gates = RANKING["gates"] | {"max_regression": 0.0, "slices": ["n"]}
    await room.completed(room.version(features=("z", "n"), trees=1, **ranking(room, gates=gates)), 2)
    await room.judge().step()
    (verdict,) = await room.told()
    assert isinstance(verdict, ModelRejected)
    assert "gates.slices: 'n' differs within a query" in verdict.reason
    gates["slices"] = []
    await room.completed(room.version(features=("z", "n"), trees=1, **ranking(room, gates=gates)), 3)
    await room.judge().step()
    (_, verdict) = await room.told()
    assert isinstance(verdict, ModelRejected)
    assert verdict.reason.startswith("champion: ndcg 0.") and "too few rows" in verdict.reason
    assert set(verdict.champion_metrics) == {"ndcg"}

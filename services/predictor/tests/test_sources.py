"""An instance with bundles beside it: it serves them with the object store away, and believes them no more than any."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import lightgbm as lgb
import msgspec
import numpy as np
import pytest

from shipway.bundle.capi import Booster
from shipway.bundle.golden import encode_golden
from shipway.bundle.manifest import Windows
from shipway.bundle.store import bundle_key, write_bundle
from shipway.bundle.trial import Trials
from shipway.contract.errors import Permanent
from shipway.contract.events import DesiredState, HeldVersion
from shipway.contract.signature import Feature, Signature, to_builtins
from shipway.predictor.held import Versions
from shipway.predictor.holding import Held, Wanted, idle
from shipway.predictor.loading import library_versions
from shipway.predictor.settings import BundlesSettings, LimitSettings, PredictorSettings
from shipway.predictor.sources import Sources, open_sources
from shipway.runtime.objects import FolderStore
from shipway.runtime.settings import ObjectsSettings

T0 = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = np.random.default_rng(1).normal(size=(64, 3))
SIGNATURE = Signature(
    features=[Feature(name=f"f{i}", type="number") for i in range(3)], output="binary", target="y", classes=["0", "1"]
)
IDLE = "no version of this image is to be held: its release has not begun, or it was rolled back or retired"


def written(folder: Path, seed: int) -> str:
    """A whole bundle of a small model, as a trainer writes it; its digest."""
    labels = (ROWS[:, seed % 3] > 0).astype(float)
    settings = {"objective": "binary", "verbose": -1, "min_data_in_leaf": 2}
    text = str(lgb.train(settings, lgb.Dataset(ROWS, labels), 2 + seed).model_to_string()).encode()
    files = {
        "model.txt": text,
        "signature.json": msgspec.json.encode(to_builtins(SIGNATURE)),
        "golden.parquet": encode_golden(ROWS[:20], Booster(text).predict(ROWS[:20], 1)),
        "reference.parquet": b"x",
        "report.json": b"{}",
        "spec.json": b"{}",
    }
    made = write_bundle(
        FolderStore(folder), files, model="m", library_versions=library_versions(), windows=Windows(T0, T0, T0, T0)
    )
    return made.digest


def desired(model: str, *versions: tuple[int, str, str]) -> DesiredState:
    """The desired state of a model: numbers, digests, roles."""
    held = [HeldVersion(version=n, digest=d, role=role, signature={}) for n, d, role in versions]  # type: ignore[arg-type]
    return DesiredState(model=model, generation=1, versions=held, traffic=[])


@asynccontextmanager
async def running(sources: Sources, states: dict[str, DesiredState]) -> AsyncIterator[Versions]:
    """The versions of an instance, held to ``states`` while this lasts."""
    trials = Trials()
    versions = Versions(sources, LimitSettings(), trials, states, lambda: None)
    task = asyncio.create_task(versions.run())
    try:
        yield versions
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for serving in versions.serving.values():
            serving.loaded.scorer.close()
        trials.close()


async def until(look: Callable[[], bool]) -> None:
    """Waits until that is so."""
    async with asyncio.timeout(20):
        while not look():
            await asyncio.sleep(0.01)


def beside(folder: Path, away: Path, only: bool) -> Sources:
    """The sources of an instance whose object store is away: where its folder should be there is a file."""
    away.write_text("no folder")
    return open_sources(BundlesSettings(folder=str(folder), only=only), ObjectsSettings(url=away.as_uri()))


async def test_an_image_serves_what_it_has_and_nothing_else_without_the_object_store(tmp_path: Path) -> None:
    mine, other = written(tmp_path / "image", 1), "9" * 64
    states = {
        "m": desired("m", (3, mine, "candidate"), (2, other, "champion")),
        "n": desired("n", (1, other, "champion")),
    }
    async with running(beside(tmp_path / "image", tmp_path / "away", only=True), states) as versions:
        await until(lambda: ("m", 3) in versions.serving)
        said = versions.presence("i", "http://i", T0)
        assert said.only == [mine]
        assert [(v.model, v.version, v.state) for v in said.versions] == [("m", 3, "ready")]
        assert versions.problems() == [], "the champions that are elsewhere are not its business"
        scores = versions.serving["m", 3].loaded.scorer.score(ROWS)
        assert scores.shape == (64, 1)
        states["m"] = desired("m", (2, other, "champion"))
        versions.wake()
        await until(lambda: not versions.serving)
        assert versions.presence("i", "http://i", T0).versions == []
        assert versions.problems() == [IDLE]
        states["m"] = desired("m", (3, mine, "champion"))
        versions.wake()
        await until(lambda: not versions.problems())


async def test_the_same_number_with_another_bundle_is_not_the_images_version(tmp_path: Path) -> None:
    written(tmp_path / "image", 1)
    states = {"m": desired("m", (3, "9" * 64, "champion"))}
    async with running(beside(tmp_path / "image", tmp_path / "away", only=True), states) as versions:
        assert versions.problems() == [IDLE]


@pytest.mark.parametrize("name", ["model.txt", "manifest.json", "golden.parquet"])
async def test_a_bundle_is_not_believed_because_it_is_in_an_image(tmp_path: Path, name: str) -> None:
    mine = written(tmp_path / "image", 1)
    with (tmp_path / "image" / bundle_key(mine, name)).open("ab") as file:
        file.write(b" ")
    states = {"m": desired("m", (3, mine, "champion"))}
    async with running(beside(tmp_path / "image", tmp_path / "away", only=True), states) as versions:
        await until(lambda: [v.state for v in versions.presence("i", "u", T0).versions] == ["failed"])
        (problem,) = versions.problems()
        assert problem.startswith("m version 3 is failed: bundle ") and ("damaged" in problem or "hash" in problem)


async def test_an_instance_that_may_hold_more_serves_what_it_has_while_the_store_is_away(tmp_path: Path) -> None:
    mine, other = written(tmp_path / "image", 1), written(tmp_path / "objects", 2)
    states = {"m": desired("m", (3, mine, "champion")), "n": desired("n", (1, other, "champion"))}
    sources = beside(tmp_path / "image", tmp_path / "away", only=False)
    async with running(sources, states) as versions:
        await until(lambda: ("m", 3) in versions.serving)
        await until(lambda: "n version 1 is waiting" in versions.problems())
        assert versions.presence("i", "http://i", T0).only is None
        (tmp_path / "away").unlink()
        (tmp_path / "objects").rename(tmp_path / "away")
        await until(lambda: ("n", 1) in versions.serving)


def test_what_is_no_folder_of_bundles_stops_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bundles" / "not-a-digest").mkdir(parents=True)
    (tmp_path / "bundles" / "not-a-digest" / "manifest.json").write_text("{}")
    (tmp_path / "bundles" / ("a" * 64)).mkdir()  # half-written: the manifest comes last
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(Permanent, match=r"BUNDLES__FOLDER: .* shipway image makes"):
            open_sources(BundlesSettings(folder=str(folder)), ObjectsSettings())
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
        patch.setenv("SHIPWAY_PREDICTOR__BUNDLES__ONLY", "true")
        PredictorSettings.load()
    assert "SHIPWAY_PREDICTOR__BUNDLES: " in capsys.readouterr().err


def test_one_version_that_is_ready_is_enough_and_else_each_says_why_not() -> None:
    wishes = {"m": [Wanted("m", 1, "a", "champion"), Wanted("m", 2, "b", "candidate")], "n": []}
    assert idle({"m": [], "n": []}, {("m", 1): Held("a", "ready")}) == [IDLE]
    assert idle(wishes, {("m", 1): Held("a", "ready"), ("m", 2): Held("b", "loading")}) == []
    assert idle(wishes, {("m", 1): Held("a", "failed", "damaged"), ("m", 2): Held("other", "ready")}) == [
        "m version 1 is failed: damaged",
        "m version 2 is not loaded",
    ]

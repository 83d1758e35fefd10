"""Versions are exported into a real MLflow, which loads and runs them; going there again adds what is new only."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import lightgbm
import numpy as np
import pytest

from shipway.client.errors import ShipwayError
from shipway.client.registry import DIGEST, STATE, VERSION, VersionRecord, export, fetch

pytestmark = pytest.mark.slow

MODEL = "houses"


def booster(seed: int) -> lightgbm.Booster:
    rng = np.random.default_rng(seed)
    rows = rng.random((300, 3))
    return lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(rows, rows[:, 0] > 0.5), 3)


def record(version: int, state: str) -> VersionRecord:
    return VersionRecord(
        version,
        f"{version:064x}",
        state,
        {"rounds": "3", "learning_rate": "0.1"},
        {"auc": 0.5 + version / 10, "gate.floor": 0.6},
        {"report.json": b"{}", "report.html": b"<p>r</p>", "signature.json": b'{"features": []}'},
        booster(version).model_to_string().encode(),
        {"shipway.reason": "every gate passed", "shipway.gates_failed": ""},
    )


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # artifacts of a local MLflow lie below the working folder
        yield f"sqlite:///{folder}/mlflow.db"


def test_a_version_is_a_run_and_a_model_that_mlflow_loads(uri: str, tmp_path: Path) -> None:
    import mlflow

    first = export([record(1, "champion")], MODEL, uri, f"shipway/{MODEL}")
    again = export([record(1, "retired"), record(2, "champion")], MODEL, uri, f"shipway/{MODEL}")
    assert [(e.version, e.new) for e in first + again] == [(1, True), (1, False), (2, True)]
    assert first[0].run_id == again[0].run_id and first[0].model_version == again[0].model_version
    client = mlflow.MlflowClient(uri, uri)
    run = client.get_run(again[1].run_id)
    assert run.data.params == {"rounds": "3", "learning_rate": "0.1"}
    assert run.data.metrics == {"auc": 0.7, "gate.floor": 0.6}
    assert (run.data.tags[VERSION], run.data.tags[STATE], run.info.status) == ("2", "champion", "FINISHED")
    there = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert there == {"report.json", "report.html", "signature.json", "model"}
    states = {v.tags[VERSION]: v.tags[STATE] for v in client.search_model_versions(f"name = '{MODEL}'")}
    assert states == {"1": "retired", "2": "champion"}
    champion = client.get_model_version_by_alias(MODEL, "champion")
    assert champion.tags[DIGEST] == f"{2:064x}"
    mlflow.set_tracking_uri(uri)
    loaded = mlflow.lightgbm.load_model(f"models:/{MODEL}@champion")
    rows = np.random.default_rng(9).random((20, 3))
    assert np.array_equal(loaded.predict(rows), booster(2).predict(rows))


def test_one_that_was_broken_off_is_made_anew_and_one_without_its_bundle_is_a_run_only(uri: str) -> None:
    import mlflow

    client = mlflow.MlflowClient(uri, uri)
    number = client.create_experiment("broken")
    half = client.create_run(number, tags={DIGEST: f"{3:064x}"}).info.run_id
    gone = replace(record(4, "retired"), model_text=None)
    done = export([record(3, "rejected"), gone], "other", uri, "broken")
    assert done[0].new and done[0].run_id != half
    assert (done[1].new, done[1].model_version) == (True, None)


def test_what_can_not_be_reached_and_what_is_missing_is_said() -> None:
    with pytest.raises(ShipwayError, match="MLflow at nowhere://x"):
        export([], MODEL, "nowhere://x", "x")
    code = "import sys; sys.modules['mlflow'] = None; from shipway.client import registry\n"
    code += "try: registry.export([], 'm', 'x', 'x')\nexcept Exception as e: print(e)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'shipway[mlflow]'" in ran.stdout


def test_what_is_registered_is_fetched_as_an_import_takes_it(uri: str) -> None:
    import mlflow

    export([record(1, "champion")], "fetched", uri, "fetched")
    for source in ("fetched/1", "fetched@champion"):
        files = fetch(uri, source)
        assert files == {"model.txt": booster(1).model_to_string().encode(), "signature.json": b'{"features": []}'}
    client = mlflow.MlflowClient(uri, uri)
    client.create_registered_model("pickled")
    run = client.create_run("0")
    client.log_dict(run.info.run_id, {"flavors": {"sklearn": {}}, "artifact_path": "m"}, "m/MLmodel")
    client.create_model_version("pickled", f"{run.info.artifact_uri}/m", run.info.run_id)
    with pytest.raises(ShipwayError, match="LightGBM's text format"):
        fetch(uri, "pickled/1")
    with pytest.raises(ShipwayError, match="NAME/VERSION or NAME@ALIAS"):
        fetch(uri, "fetched")
    with pytest.raises(ShipwayError, match="MLflow at"):
        fetch(uri, "fetched/9")

"""Versions and their evaluations in an MLflow, for teams whose overview of models is there.

Each version is a run (parameters, figures, report, files of the bundle) and a model version that MLflow itself can
load. Going there again adds what is new.
"""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from shipway.client.client import AsyncShipway
from shipway.client.errors import Refused, ShipwayError
from shipway.contract.errors import Permanent, Transient
from shipway.contract.signature import to_builtins

DIGEST, STATE, VERSION = "shipway.digest", "shipway.state", "shipway.version"


@dataclass(frozen=True)
class VersionRecord:
    """What is on record of a version: ``params`` of its training, ``metrics``, and ``files`` by name.

    ``model_text`` is None where its bundle is gone, as that of a retired version may be.
    """

    version: int
    digest: str
    state: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    files: Mapping[str, bytes]
    model_text: bytes | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Exported:
    """Where a version is in MLflow. ``new``: it was not there before."""

    version: int
    run_id: str
    model_version: str | None
    new: bool


async def collect(shipway: AsyncShipway, model: str) -> list[VersionRecord]:
    """Every version of a model that was judged, the oldest first.

    Raises:
        ShipwayError: the monitor or the object store does not answer, or there is no such model.
    """
    found = await shipway.model(model)
    judged = [row for row in found["versions"] if row["digest"] and row["gates"]]
    return [await _record(shipway, model, row) for row in sorted(judged, key=lambda row: int(row["version"]))]


async def _record(shipway: AsyncShipway, model: str, row: Mapping[str, Any]) -> VersionRecord:
    version, digest = int(row["version"]), str(row["digest"])
    files: dict[str, bytes] = {}
    try:
        report = await shipway.report(model, version)
        files["report.json"] = msgspec.json.format(msgspec.json.encode(report), indent=1)
        files["report.html"] = (await shipway.report_page(model, version)).encode()
    except Refused as err:
        if err.status != 404:  # a report that is gone leaves the rest
            raise
    params, text = await asyncio.to_thread(_bundle, shipway, digest, files)
    metrics = dict(row["metrics"] or {})
    metrics |= {f"gate.{gate['name']}": gate["figure"] for gate in row["gates"] if gate["figure"] is not None}
    failed = [gate["name"] for gate in row["gates"] if not gate["passed"]]
    tags = {"shipway.request": row["request_id"] or "", "shipway.reason": row["reason"] or ""}
    tags |= {"shipway.gates_failed": ", ".join(failed)}
    return VersionRecord(version, digest, row["state"], params, metrics, files, text, tags)


def _bundle(shipway: AsyncShipway, digest: str, files: dict[str, bytes]) -> tuple[dict[str, str], bytes | None]:
    from shipway.bundle.store import read_bundle
    from shipway.runtime.objects import ObjectMissing, open_store

    objects = shipway.addresses.objects
    try:
        bundle = read_bundle(open_store(objects), digest)
    except ObjectMissing:
        return {}, None
    except (Transient, Permanent) as err:
        raise ShipwayError(f"the object store, {objects.url}: {err}") from err
    files["signature.json"] = msgspec.json.format(msgspec.json.encode(to_builtins(bundle.signature)), indent=1)
    training = bundle.spec.training.model_dump(mode="json")
    return {name: str(value) for name, value in training.items() if value is not None}, bundle.model_text


def export(records: Sequence[VersionRecord], model: str, tracking_uri: str, experiment: str) -> list[Exported]:
    """Writes versions that MLflow does not have yet, by their digests, and the state of all of them. Blocking.

    Raises:
        ShipwayError: mlflow is not installed, or MLflow does not answer, or refuses.
    """
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError as err:
        raise ShipwayError("mlflow is not installed; pip install 'shipway[mlflow]'") from err
    try:
        client = MlflowClient(tracking_uri, tracking_uri)
        place = client.get_experiment_by_name(experiment)
        number = place.experiment_id if place is not None else client.create_experiment(experiment)
        if not client.search_registered_models(f"name = '{model}'"):
            client.create_registered_model(model, description=f"By Shipway, from its model {model}.")
        return [_export(client, number, model, record) for record in records]
    except (MlflowException, OSError) as err:
        raise ShipwayError(f"MLflow at {tracking_uri}: {err}") from err


def fetch(tracking_uri: str, source: str) -> dict[str, bytes]:
    """A registered model's files as ``shipway import`` takes them: model.txt, and signature.json where its run has one.

    ``source`` is NAME/VERSION or NAME@ALIAS. Blocking.

    Raises:
        ShipwayError: mlflow is not installed, MLflow does not answer, or it is no model of LightGBM's text format.
    """
    try:
        from mlflow import MlflowClient, artifacts
        from mlflow.exceptions import MlflowException
        from mlflow.models import Model
    except ImportError as err:
        raise ShipwayError("mlflow is not installed; pip install 'shipway[mlflow]'") from err
    try:
        client = MlflowClient(tracking_uri, tracking_uri)
        found = _registered(client, source)
        with tempfile.TemporaryDirectory() as folder:
            where = Path(artifacts.download_artifacts(found.source, dst_path=folder, tracking_uri=tracking_uri))
            flavour = Model.load(str(where)).flavors.get("lightgbm")
            data = where / Path(str((flavour or {}).get("data", ""))).name
            text = data.read_bytes() if flavour is not None and data.is_file() else b""
        if not text.startswith(b"tree\n"):
            wanted = "save it from a Booster, with mlflow.lightgbm.log_model"
            raise ShipwayError(f"{source}: holds no model in LightGBM's text format; {wanted}")
        files = {"model.txt": text}
        if found.run_id and any(item.path == "signature.json" for item in client.list_artifacts(found.run_id)):
            with tempfile.TemporaryDirectory() as folder:
                path = client.download_artifacts(found.run_id, "signature.json", folder)
                files["signature.json"] = Path(path).read_bytes()
    except (MlflowException, OSError) as err:
        raise ShipwayError(f"MLflow at {tracking_uri}: {err}") from err
    return files


def _registered(client: Any, source: str) -> Any:
    name, at, alias = source.partition("@")
    if at:
        return client.get_model_version_by_alias(name, alias)
    name, _, version = source.rpartition("/")
    if not name or not version.isdigit():
        raise ShipwayError(f"{source!r} must be NAME/VERSION or NAME@ALIAS of MLflow's registry")
    return client.get_model_version(name, version)


def _export(client: Any, experiment: str, model: str, record: VersionRecord) -> Exported:
    known = client.search_runs([experiment], f"tags.`{DIGEST}` = '{record.digest}' and attributes.status = 'FINISHED'")
    run_id = known[0].info.run_id if known else _run(client, experiment, model, record)
    client.set_tag(run_id, STATE, record.state)
    versions = client.search_model_versions(f"name = '{model}' and run_id = '{run_id}'")
    number = str(versions[0].version) if versions else None
    if number is None and record.model_text is not None:
        source = f"{client.get_run(run_id).info.artifact_uri}/model"
        tags = {VERSION: str(record.version), DIGEST: record.digest}
        number = str(client.create_model_version(model, source, run_id, tags=tags).version)
    if number is not None:
        client.set_model_version_tag(model, number, STATE, record.state)
        if record.state == "champion":
            client.set_registered_model_alias(model, "champion", number)
    return Exported(record.version, run_id, number, not known)


def _run(client: Any, experiment: str, model: str, record: VersionRecord) -> str:
    """A run for a version; it is finished last, so that one that was broken off is not taken for whole."""
    tags = {DIGEST: record.digest, VERSION: str(record.version), "shipway.model": model, **record.tags}
    run_id = str(client.create_run(experiment, tags=tags, run_name=f"{model} {record.version}").info.run_id)
    for name, value in record.params.items():
        client.log_param(run_id, name, value)
    for name, figure in record.metrics.items():
        client.log_metric(run_id, name, figure)
    with tempfile.TemporaryDirectory() as folder:
        for name, data in record.files.items():
            (Path(folder) / name).write_bytes(data)
        if record.model_text is not None:
            _loadable(record.model_text, Path(folder) / "model")
        client.log_artifacts(run_id, folder)
    client.set_terminated(run_id, "FINISHED")
    return run_id


def _loadable(text: bytes, folder: Path) -> None:
    """The model as MLflow's own lightgbm flavour."""
    import lightgbm
    from mlflow.lightgbm import save_model

    booster = lightgbm.Booster(model_str=text.decode("utf-8"))
    save_model(booster, str(folder), pip_requirements=[f"lightgbm=={lightgbm.__version__}"])
    (folder / "model.txt").write_bytes(text)

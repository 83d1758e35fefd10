"""What is taken out of the object store to be served elsewhere: to the byte, and proven as a predictor proves it."""

from datetime import UTC, datetime
from pathlib import Path

import lightgbm as lgb
import msgspec
import numpy as np
import pytest

from shipway.bundle.capi import Booster
from shipway.bundle.golden import encode_golden
from shipway.bundle.manifest import Windows, sha256
from shipway.bundle.serving import servable_files
from shipway.bundle.store import bundle_key, digests_in, read_servable, write_bundle
from shipway.contract.errors import Permanent
from shipway.contract.signature import Feature, Signature, to_builtins
from shipway.contract.spec import parse_spec
from shipway.contract.spec import to_builtins as spec_to_builtins
from shipway.runtime.objects import FolderStore, ObjectMissing

T0 = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = np.random.default_rng(1).normal(size=(64, 2))
TEXT = str(
    lgb.train(
        {"objective": "binary", "verbose": -1, "min_data_in_leaf": 2}, lgb.Dataset(ROWS, ROWS[:, 0] > 0), 2
    ).model_to_string()
).encode()
SCORES = Booster(TEXT).predict(ROWS[:5], 1)
SPEC = parse_spec(
    {
        "name": "m",
        "data": {"source": "folder:/x", "time_column": "at", "train": "10d", "holdout": "2d"},
        "target": {"column": "y", "kind": "binary"},
        "features": {"a": {"type": "number"}, "b": {"type": "number"}},
        "retirement": {"max_age": "30d", "unused_for": "1d"},
    }
)
SIGNATURE = Signature(
    features=[Feature(name=n, type="number") for n in "ab"], output="binary", target="y", classes=["0", "1"]
)


def written(store: FolderStore, **changes: bytes) -> str:
    """A bundle, with these files in the place of good ones; its digest."""
    files = {
        "model.txt": TEXT,
        "signature.json": msgspec.json.encode(to_builtins(SIGNATURE)),
        "golden.parquet": encode_golden(ROWS[:5], SCORES),
        "reference.parquet": b"x",
        "report.json": b"{}",
        "spec.json": msgspec.json.encode(spec_to_builtins(SPEC)),
    }
    files |= {name.replace("_", "."): data for name, data in changes.items()}
    windows = Windows(T0, T0, T0, T0)
    return write_bundle(store, files, model="m", library_versions={}, windows=windows, created_at=T0).digest


def test_it_can_be_served_from_them_and_each_is_as_it_was(tmp_path: Path) -> None:
    store, other = FolderStore(tmp_path / "a"), FolderStore(tmp_path / "b")
    digest = written(store)
    files, manifest = servable_files(store, digest)
    assert (manifest.model, manifest.created_at, sha256(files["manifest.json"])) == ("m", T0, digest)
    for name, data in files.items():
        other.put(bundle_key(digest, name), data)
    assert read_servable(other, digest).model_text == TEXT
    assert digests_in(other) == {digest}
    assert len(other.list("")) == 4


def test_what_a_predictor_would_not_serve_is_not_given_out(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    with pytest.raises(Permanent, match="golden row 0 gave"):
        servable_files(store, written(store, golden_parquet=encode_golden(ROWS[:5], SCORES + 0.25)))
    with pytest.raises(Permanent, match=r"tree\[0\]: "):
        servable_files(store, written(store, model_txt=TEXT.replace(b"left_child=", b"left_child=9", 1)))
    damaged = written(store)
    store.put(bundle_key(damaged, "signature.json"), b"{}")
    with pytest.raises(Permanent, match=r"signature\.json is damaged"):
        servable_files(store, damaged)
    store.delete(bundle_key(damaged, "manifest.json"))
    with pytest.raises(ObjectMissing):
        servable_files(store, damaged)

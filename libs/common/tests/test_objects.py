"""The object store's contract; every kind of store passes it.

SHIPWAY_TEST_S3 names S3 servers to hold against it, as http://KEY:SECRET@host:port, comma-separated.
"""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from shipway.contract.errors import Permanent, Transient
from shipway.runtime.objects import FolderStore, ObjectMissing, ObjectStore, open_store
from shipway.runtime.s3 import S3Store
from shipway.runtime.settings import ObjectsSettings

STORES = ["folder", *filter(None, os.environ.get("SHIPWAY_TEST_S3", "").split(","))]


@pytest.fixture(params=STORES, ids=lambda url: "folder" if url == "folder" else urlsplit(url).netloc.rpartition("@")[2])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    if request.param == "folder":
        yield FolderStore(tmp_path / "objects")
        return
    url = urlsplit(request.param)
    settings = {
        "url": f"s3://shipway-{secrets.token_hex(4)}",
        "endpoint": f"{url.scheme}://{url.hostname}:{url.port}",
        "access_key": url.username,
        "secret_key": url.password,
    }
    found = open_store(ObjectsSettings.model_validate(settings))
    found.probe()
    yield found
    for key in found.list(""):
        found.delete(key)


def test_what_is_put_is_got(store: ObjectStore) -> None:
    store.probe()
    store.put("a/b.txt", b"one")
    store.put("a/b.txt", b"two")
    assert store.get("a/b.txt", 3) == b"two"
    assert store.size("a/b.txt") == 3
    assert store.list("a/") == ["a/b.txt"]
    store.delete("a/b.txt")
    store.delete("a/b.txt")
    assert store.size("a/b.txt") is None
    with pytest.raises(ObjectMissing):
        store.get("a/b.txt", 10)


def test_a_mark_is_another_once_the_bytes_are(store: ObjectStore) -> None:
    store.put("a", b"one")
    first = store.mark("a")
    assert first is not None
    assert store.mark("a") == first
    store.put("a", b"two")
    assert store.mark("a") not in (None, first)
    assert store.mark("b") is None


def test_many_and_large_objects_are_listed_and_got_whole(store: ObjectStore) -> None:
    large = secrets.token_bytes(12_000_000)
    store.put("many/large", large)
    assert store.get("many/large", len(large)) == large
    keys = [f"many/{i:04}" for i in range(1100)] if not isinstance(store, S3Store) else [f"many/{i}" for i in range(9)]
    for key in keys:
        store.put(key, b"")
    store.put("manya", b"")
    assert store.list("many/") == sorted([*keys, "many/large"])
    assert store.get(keys[0], 0) == b""


def test_an_object_larger_than_allowed_is_refused(store: ObjectStore) -> None:
    store.put("big", b"12345")
    with pytest.raises(Permanent, match="larger"):
        store.get("big", 4)


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/.", "a\x00b", "a b", "x" * 901, "-/ü"]
)
def test_no_key_leaves_the_folder(store: ObjectStore, key: str) -> None:
    for call in (lambda: store.put(key, b""), lambda: store.get(key, 1), lambda: store.delete(key)):
        with pytest.raises(Permanent):
            call()


def test_a_folder_that_is_away_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Transient):
        FolderStore(tmp_path / "file").probe()
    with pytest.raises(Transient):
        FolderStore(tmp_path / "file").put("a", b"")


def test_a_store_that_does_not_answer_is_waited_for() -> None:
    settings = ObjectsSettings(url="s3://bucket", endpoint="http://127.0.0.1:9", timeout_s=0.2)
    store = open_store(settings)
    assert isinstance(store, S3Store)
    with pytest.raises(Transient, match="bucket"):
        store.probe()
    with pytest.raises(Transient):
        store.get("a", 1)


@pytest.mark.parametrize("url", ["", "ftp://x", "s3://", "folder"])
def test_a_wrong_url_is_named(url: str) -> None:
    with pytest.raises(Permanent, match="OBJECTS__URL"):
        open_store(ObjectsSettings(url=url))

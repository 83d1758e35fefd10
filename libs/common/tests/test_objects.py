"""The object store's contract; every kind of store passes it."""

from pathlib import Path

import pytest

from shipway.contract.errors import Permanent, Transient
from shipway.runtime.objects import FolderStore, ObjectMissing, open_store
from shipway.runtime.s3 import S3Store
from shipway.runtime.settings import ObjectsSettings


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "objects")


def test_what_is_put_is_got(store: FolderStore) -> None:
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


def test_an_object_larger_than_allowed_is_refused(store: FolderStore) -> None:
    store.put("big", b"12345")
    with pytest.raises(Permanent, match="larger"):
        store.get("big", 4)


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/.", "a\x00b", "a b", "x" * 901, "-/ü"]
)
def test_no_key_leaves_the_folder(store: FolderStore, key: str) -> None:
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

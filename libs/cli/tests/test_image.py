"""What ``docker build`` is given for an image of a version: the same bytes each time, and nothing but names in it."""

import os
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shipway.client.errors import ShipwayError
from shipway.client.image import BASE, INSIDE, Recipe, build, check_reference, context_of, write_context
from shipway.predictor.settings import PredictorSettings

AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
DIGEST = "5" * 64
FILES = {"model.txt": b"tree\n", "manifest.json": b"{}", "signature.json": b"{}", "golden.parquet": b"PAR1"}
RECIPE = Recipe("houses", 3, DIGEST)
HOSTILE = ["", "-v", "a b", "a\nRUN id", "a\n", 'a"b', "a\\", "$(id)", "x" * 300, "ä"]


def seen(folder: Path) -> list[tuple[str, float, int, bytes]]:
    """All that docker sees of a folder."""
    return [
        (str(p.relative_to(folder)), p.stat().st_mtime, p.stat().st_mode, b"" if p.is_dir() else p.read_bytes())
        for p in sorted(folder.rglob("*"))
    ]


def test_the_same_version_gives_the_same_folder_whatever_the_umask(tmp_path: Path) -> None:
    write_context(tmp_path / "a", context_of(RECIPE, FILES), AT)
    before = os.umask(0o077)
    try:
        write_context(tmp_path / "b", context_of(RECIPE, dict(reversed(FILES.items()))), AT)
    finally:
        os.umask(before)
    assert seen(tmp_path / "a") == seen(tmp_path / "b")
    names = [name for name, *_ in seen(tmp_path / "a")]
    assert names == ["Dockerfile", "bundles", f"bundles/{DIGEST}", *(f"bundles/{DIGEST}/{n}" for n in sorted(FILES))]
    assert {mtime for _, mtime, *_ in seen(tmp_path / "a")} == {AT.timestamp()}
    other = context_of(Recipe("houses", 4, DIGEST), FILES)
    assert other != context_of(RECIPE, FILES)


def test_the_dockerfile_names_the_version_and_its_settings_are_the_predictors(monkeypatch: pytest.MonkeyPatch) -> None:
    text = RECIPE.dockerfile()
    assert f"\nFROM {BASE}\n" in text and f"\nCOPY bundles {INSIDE}/bundles\n" in text
    assert re.findall(r'shipway\.(\w+)="(.*?)"', text) == [("model", "houses"), ("version", "3"), ("digest", DIGEST)]
    for name, value in re.findall(r"(SHIPWAY_\w+)=(\S+)", text):
        monkeypatch.setenv(name, value)
    bundles = PredictorSettings.load().bundles
    assert (bundles.folder, bundles.only) == (INSIDE, True)


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_name_gets_into_no_dockerfile_and_no_command_line(name: str) -> None:
    with pytest.raises(ShipwayError, match="no model's name"):
        Recipe(name, 1, DIGEST)
    with pytest.raises(ShipwayError, match=r"--base: .* is no image's name, such as shipway/predictor"):
        Recipe("houses", 1, DIGEST, name)
    with pytest.raises(ShipwayError, match=r"--tag: .* is no image's name"):
        check_reference("--tag", name)


@pytest.mark.parametrize("name", ["a", BASE, "localhost:5000/a/b:1", f"registry.example/p@sha256:{DIGEST}"])
def test_names_of_images_are_taken(name: str) -> None:
    assert f"\nFROM {name}\n" in Recipe("houses", 1, DIGEST, name).dockerfile()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(ShipwayError, match="is not empty; name another folder"):
        write_context(tmp_path, context_of(RECIPE, FILES), AT)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
    with pytest.raises(ShipwayError, match="mine: "):
        write_context(tmp_path / "mine", context_of(RECIPE, FILES), AT)


def test_without_docker_the_remedy_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ShipwayError, match=r"docker is not on the PATH; write --out FOLDER, .* docker build -t a:1"):
        build(tmp_path, "a:1", AT)


def test_docker_is_told_the_time_of_the_version_and_its_refusal_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho $SOURCE_DATE_EPOCH $* > $0.told\necho no such base >&2\nexit 7\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(ShipwayError, match=r"docker build ended with 7:\nno such base"):
        build(tmp_path, "a:1", AT)
    assert (tmp_path / "docker.told").read_text() == f"{AT.timestamp():.0f} build --tag a:1 {tmp_path}\n"

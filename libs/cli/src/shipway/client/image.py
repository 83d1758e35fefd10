"""An image of one version: a predictor's image with the version's bundle in it, as a folder that docker builds.

The folder's bytes, times and modes follow from the version and the base alone, so who makes it again gets the same.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from shipway.client.errors import ShipwayError
from shipway.contract.spec import NAME
from shipway.contract.versions import RELEASE

BASE = f"shipway/predictor:{RELEASE}"
# Where the image has its bundles: below it they lie as in the object store.
INSIDE = "/opt/shipway/baked"
# What docker takes for a name, roughly; above all nothing that would be another line, or another option.
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}")
_TOLD = 15


@dataclass(frozen=True)
class Recipe:
    """Which version, by its number and its bundle's digest, on which predictor's image ``base``.

    Raises:
        ShipwayError: the model's name or the base is no such name.
    """

    model: str
    version: int
    digest: str
    base: str = BASE

    def __post_init__(self) -> None:
        """Holds what goes into the Dockerfile to be names and nothing else."""
        if not NAME.fullmatch(self.model):
            raise ShipwayError(f"{self.model[:100]!r} is no model's name")
        check_reference("--base", self.base)

    @property
    def usual_tag(self) -> str:
        """The image's name where no other is asked for."""
        return f"shipway/{self.model}:{self.version}"

    def dockerfile(self) -> str:
        """The Dockerfile; user, health check and entry point are the base's."""
        return _DOCKERFILE.format(
            model=self.model, version=self.version, digest=self.digest, base=self.base, inside=INSIDE
        )


_DOCKERFILE = """\
# Version {version} of the model {model} and its server in one image, made by: shipway image {model} {version}
FROM {base}
COPY bundles {inside}/bundles
ENV SHIPWAY_PREDICTOR__BUNDLES__FOLDER={inside} \\
    SHIPWAY_PREDICTOR__BUNDLES__ONLY=true
LABEL org.opencontainers.image.title="{model}" \\
      org.opencontainers.image.version="{version}" \\
      org.opencontainers.image.description="Version {version} of the model {model} with its predictor, by Shipway" \\
      org.opencontainers.image.base.name="{base}" \\
      shipway.model="{model}" \\
      shipway.version="{version}" \\
      shipway.digest="{digest}"
"""


def check_reference(option: str, name: str) -> str:
    """The image's name itself.

    Raises:
        ShipwayError: docker would not take it for one.
    """
    if not _REFERENCE.fullmatch(name):
        raise ShipwayError(f"{option}: {name[:100]!r} is no image's name, such as {BASE}")
    return name


def context_of(recipe: Recipe, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The folder that docker builds, by path; ``files`` are the bundle's that serving it needs."""
    bundle = {f"bundles/{recipe.digest}/{name}": data for name, data in sorted(files.items())}
    return {"Dockerfile": recipe.dockerfile().encode(), **bundle}


def write_context(folder: Path, context: Mapping[str, bytes], at: datetime) -> None:
    """Writes the folder, everything in it as of ``at``.

    Raises:
        ShipwayError: there is something in the folder, or it can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ShipwayError(f"{folder} is not empty; name another folder, or remove what is in it")
        for name, data in context.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        # From the inside out: what is made in a folder changes the folder's time.
        for path in sorted(folder.rglob("*"), reverse=True):
            path.chmod(0o755 if path.is_dir() else 0o644)
            os.utime(path, (at.timestamp(), at.timestamp()))
    except OSError as err:
        raise ShipwayError(f"{folder}: {err.strerror or err}") from err


def build(folder: Path, tag: str, at: datetime) -> None:
    """Has docker build the folder under that name; ``at`` is the time of creation that the image gets.

    Raises:
        ShipwayError: docker is not here, or does not build it.
    """
    docker = shutil.which("docker")
    if docker is None:
        raise ShipwayError(
            f"docker is not on the PATH; write --out FOLDER, and elsewhere: docker build -t {tag} FOLDER"
        )
    ran = subprocess.run(
        [docker, "build", "--tag", check_reference("--tag", tag), str(folder)],
        env=os.environ | {"SOURCE_DATE_EPOCH": str(int(at.timestamp()))},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if ran.returncode:
        last = "\n".join(ran.stdout.splitlines()[-_TOLD:])
        raise ShipwayError(f"docker build ended with {ran.returncode}:\n{last}")

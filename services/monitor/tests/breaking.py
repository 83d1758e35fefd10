"""A folder of objects at which the process dies, as it were, and the signature that most tests' versions have."""

from pathlib import Path

from shipway.runtime.objects import FolderStore

BINARY = {
    "features": [{"name": "n", "type": "number"}],
    "output": "binary",
    "target": "y",
    "classes": ["false", "true"],
}


class KilledError(Exception):
    """The end of a process."""


class Breaking(FolderStore):
    """Dies once, at the wanted call, before it or after it: ``dies`` is "before put", or of one folder's objects alone
    "before put labels".
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder
        self.dies = ""

    def put(self, key: str, data: bytes) -> None:
        self._reach("before put", key)
        super().put(key, data)
        self._reach("after put", key)

    def delete(self, key: str) -> None:
        self._reach("before delete", key)
        super().delete(key)
        self._reach("after delete", key)

    def _reach(self, point: str, key: str) -> None:
        if self.dies in (point, f"{point} {key.split('/')[0]}"):
            self.dies = ""
            raise KilledError(point)

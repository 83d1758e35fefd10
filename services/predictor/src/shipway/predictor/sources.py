"""Where a version's bundle is read from: a folder beside the server that has it, as in an image, else the object store.

Nothing is believed because it lies in an image: whatever the source, a bundle is checked as ``loading`` does.
"""

from dataclasses import dataclass
from pathlib import Path

from shipway.bundle.store import digests_in
from shipway.contract.errors import Permanent
from shipway.predictor.settings import BundlesSettings
from shipway.runtime.objects import FolderStore, ObjectStore, open_store
from shipway.runtime.settings import ObjectsSettings


@dataclass(frozen=True)
class Sources:
    """``beside`` has the bundles ``baked``. ``only``: versions of other bundles are not for this instance."""

    store: ObjectStore
    beside: ObjectStore | None = None
    baked: frozenset[str] = frozenset()
    only: bool = False

    def of(self, digest: str) -> ObjectStore:
        """The store to read that bundle from."""
        return self.beside if self.beside is not None and digest in self.baked else self.store

    def can_hold(self, digest: str) -> bool:
        """Whether a version of that bundle is for this instance."""
        return not self.only or digest in self.baked

    @property
    def told(self) -> list[str] | None:
        """What the presence says: the only digests that this instance can hold; None: it can hold any."""
        return sorted(self.baked) if self.only else None


def open_sources(bundles: BundlesSettings, objects: ObjectsSettings) -> Sources:
    """The sources by the settings. What the folder has is looked at once: an image does not change.

    Raises:
        Permanent: the folder has no bundle that can be read, or the object store's URL is none.
    """
    if not bundles.folder:
        return Sources(open_store(objects))
    beside = FolderStore(Path(bundles.folder))
    baked = digests_in(beside)
    if not baked:
        raise Permanent(
            f"BUNDLES__FOLDER: {bundles.folder} has no bundles/DIGEST/manifest.json; shipway image makes one"
        )
    return Sources(beside if bundles.only else open_store(objects), beside, baked, bundles.only)

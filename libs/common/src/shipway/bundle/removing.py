"""Taking a bundle out of the object store; without the libraries that reading one needs."""

from shipway.bundle.manifest import MANIFEST, check_digest
from shipway.runtime.objects import ObjectStore


def delete_bundle(store: ObjectStore, digest: str) -> None:
    """Removes a bundle, the manifest first, so that what is left is never taken for whole; again, where it was begun.

    Raises:
        Transient: the store is away.
    """
    for key in sorted(store.list(f"bundles/{check_digest(digest)}/"), key=lambda k: not k.endswith(MANIFEST)):
        store.delete(key)

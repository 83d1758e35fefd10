"""A bundle's files for serving it elsewhere, proven as a predictor proves them before it serves. Blocking."""

from shipway.bundle.manifest import MANIFEST, MAX_MANIFEST_BYTES, Manifest, decode_manifest
from shipway.bundle.store import SERVED_FILES, bundle_key, read_bundle
from shipway.bundle.trial import Trials
from shipway.runtime.objects import ObjectStore


def servable_files(store: ObjectStore, digest: str) -> tuple[dict[str, bytes], Manifest]:
    """The files that serving a bundle needs, its manifest among them, by name and to the byte; and what that says.

    Raises:
        ObjectMissing, Permanent, Transient: as read_bundle, and as a trial of the model in a child process.
    """
    bundle = read_bundle(store, digest)
    trials = Trials()
    try:
        trials.prove(bundle.model_text, len(bundle.signature.features), bundle.golden_rows, bundle.golden_scores)
    finally:
        trials.close()
    raw = store.get(bundle_key(digest, MANIFEST), MAX_MANIFEST_BYTES)
    return {MANIFEST: raw} | {name: bundle.files[name] for name in SERVED_FILES}, decode_manifest(raw, digest)

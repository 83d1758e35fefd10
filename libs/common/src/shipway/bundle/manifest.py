"""A bundle's manifest: every file with its hash. The bundle's name is the hash of the manifest's own bytes."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime

import msgspec

from shipway.contract.errors import InvalidField, Permanent

FORMAT = 1
MANIFEST = "manifest.json"
REQUIRED_FILES = ("model.txt", "signature.json", "golden.parquet", "reference.parquet", "report.json", "spec.json")
DIGEST = re.compile(r"[0-9a-f]{64}")
MAX_MANIFEST_BYTES = 100_000


class FileEntry(msgspec.Struct, frozen=True):
    """A file's SHA-256 (64 hexadecimal digits) and its size in bytes."""

    sha256: str
    size: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a bundle holds and what it was made from. ``as_of`` as in Windows."""

    format: int
    model: str
    files: dict[str, FileEntry]
    library_versions: dict[str, str]
    created_at: datetime
    train_from: datetime
    train_to: datetime
    holdout_from: datetime
    holdout_to: datetime
    as_of: datetime | None = None


@dataclass(frozen=True)
class Windows:
    """The time windows of a training: trained on ``[train_from, train_to)``, judged on the holdout's.

    ``as_of``: of labels that come later than predictions, those that were known then; None where there are no such.
    """

    train_from: datetime
    train_to: datetime
    holdout_from: datetime
    holdout_to: datetime
    as_of: datetime | None = None


def sha256(data: bytes) -> str:
    """The hash by which files and bundles are named."""
    return hashlib.sha256(data).hexdigest()


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest's bytes; equal manifests give equal bytes."""
    return msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=1)


def decode_manifest(data: bytes, digest: str) -> Manifest:
    """The manifest that ``digest`` names.

    Raises:
        Permanent: the bytes are not those, or not a whole manifest of a known format.
    """
    if sha256(data) != digest:
        raise Permanent(f"bundle {digest[:12]}: manifest.json is not the one that was released (hash differs)")
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise Permanent(f"bundle {digest[:12]}: manifest.json: {err}") from err
    if manifest.format != FORMAT:
        raise InvalidField("manifest.format", f"{manifest.format} is not known here; known is {FORMAT}")
    missing = [name for name in REQUIRED_FILES if name not in manifest.files]
    if missing:
        raise InvalidField("manifest.files", f"lacks {', '.join(missing)}")
    return manifest


def check_digest(digest: str) -> str:
    """The digest itself.

    Raises:
        Permanent: it is not 64 hexadecimal digits.
    """
    if not DIGEST.fullmatch(digest):
        raise InvalidField("digest", "must be 64 lower-case hexadecimal digits")
    return digest

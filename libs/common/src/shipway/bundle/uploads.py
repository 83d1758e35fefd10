"""The files of an import, a model from elsewhere: which there are, and where they wait in the object store. Pure.

They are objects by hash, so that several imports may name one, and a client may put it there again at any time.
"""

import re

from shipway.bundle.manifest import DIGEST, check_digest

UPLOADS = "imports/"
NEEDED = ("model.txt", "signature.json")
FILES = (*NEEDED, "golden.parquet")
_KEY = re.compile(UPLOADS + DIGEST.pattern)


def key_of_upload(digest: str) -> str:
    """The object key of a file that is to be imported, by the SHA-256 of its content.

    Raises:
        InvalidField: it is none.
    """
    return f"{UPLOADS}{check_digest(digest)}"


def is_upload(key: str) -> bool:
    """Whether an object is named as one; clients may have put there whatever they like."""
    return _KEY.fullmatch(key) is not None

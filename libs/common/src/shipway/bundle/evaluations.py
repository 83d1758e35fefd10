"""Where the report on a version lies in the object store: beside its bundle, whose digest it goes by.

The bundle itself can't hold it: it is fixed before anybody judges it. The evaluator writes it, the monitor shows it.
"""

from typing import Literal

from shipway.bundle.manifest import check_digest

MAX_REPORT_BYTES = 20_000_000


def report_key(digest: str, kind: Literal["json", "html"] = "json") -> str:
    """The object key of the report on the version that ``digest`` names.

    Raises:
        Permanent: it is not a digest.
    """
    return f"evaluations/{check_digest(digest)}.{kind}"

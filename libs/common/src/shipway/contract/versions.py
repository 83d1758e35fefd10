"""What a service does with a type of event that it does not know: one of a newer release of ours is no mistake.

While a release is rolled out, or after a step back, old and new services share topics (see docs/operations.md).
"""

import re

from shipway.contract.errors import Permanent
from shipway.contract.events import EVENT_TYPES, PREDICTION_BATCH

RELEASE = "0.1.0"
"""The release that this is. Said here, as images have the packages' code without their metadata."""
_TYPE = re.compile(r"shipway\.([A-Z][A-Za-z0-9]{0,63})\.v([1-9][0-9]{0,3})")


class NewerType(Permanent):
    """An event of a type that only a newer release knows: a consumer passes it over, anybody else can't read it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is of a newer release than this one")
        self.name = name


def _newest_known() -> dict[str, int]:
    known: dict[str, int] = {}
    for full_name in (*EVENT_TYPES, PREDICTION_BATCH):
        found = _TYPE.fullmatch(full_name)
        assert found is not None, full_name
        known[found[1]] = max(known.get(found[1], 0), int(found[2]))
    return known


_KNOWN = _newest_known()


def check_not_newer(full_name: str) -> None:
    """Tells what a newer release says from what nobody of ours does.

    Newer is a version above all that are known of a name, or a name that is not known, in the form of our types:
    ``shipway.ModelReleased.v2``. A version below is not: readers learn a type before anybody writes it.

    Raises:
        NewerType: it is a newer release's.
    """
    found = _TYPE.fullmatch(full_name)
    if found is not None and int(found[2]) > _KNOWN.get(found[1], 0):
        raise NewerType(full_name)

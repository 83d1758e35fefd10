"""What PostgreSQL can't keep (a NUL in a text, a number beyond its column) is refused, not a bug or an outage."""

from collections.abc import Iterator
from contextlib import contextmanager

from asyncpg import InterfaceError
from sqlalchemy.exc import DBAPIError

from shipway.contract.errors import Permanent

_DATA_EXCEPTION = "22"  # the SQLSTATE class


@contextmanager
def storable(what: str) -> Iterator[None]:
    """Within it, a value that can't be stored raises Permanent; ``what`` names the thing that holds it."""
    try:
        yield
    except DBAPIError as err:
        if not is_data_error(err):
            raise
        problem = str(err.orig).partition("\n")[0].partition(": ")[2] or "a value does not fit"
        raise Permanent(f"{what} can't be stored: {problem[:300]}") from err


def is_data_error(err: DBAPIError) -> bool:
    """Whether the statement's values are at fault, by the server's word or the driver's (which says ValueError)."""
    if str(getattr(err.orig, "sqlstate", "") or "").startswith(_DATA_EXCEPTION):
        return True
    cause = err.orig.__cause__ if err.orig is not None else None
    return isinstance(cause, InterfaceError) and isinstance(cause, ValueError)

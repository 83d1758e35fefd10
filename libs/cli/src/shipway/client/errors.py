"""What a call to Shipway can end in, other than an answer."""

from typing import Any


class ShipwayError(Exception):
    """Any failure of a call."""


class Unreachable(ShipwayError):  # noqa: N818
    """A part of Shipway does not answer; the message says which, and where it was looked for."""


class Refused(ShipwayError):  # noqa: N818
    """The request was answered with a problem (RFC 9457).

    ``status`` is the HTTP status, ``problem`` the problem document, ``errors`` its list of wrong fields.
    """

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status = status
        self.problem = problem
        self.errors: list[dict[str, str]] = [e for e in problem.get("errors", []) if isinstance(e, dict)]
        detail = str(problem.get("detail") or problem.get("title") or f"HTTP {status}")
        fields = "; ".join(f"{e.get('field')}: {e.get('problem')}" for e in self.errors)
        super().__init__(f"{detail} ({fields})" if fields and fields not in detail else detail)

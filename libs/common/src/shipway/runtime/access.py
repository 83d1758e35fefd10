"""Who may do what over HTTP: the scope a request needs, whether a token has it, and how often it may come. Pure."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args

Scope = Literal["predict", "feedback", "operate", "read"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
# What orchestrators and Prometheus ask; it shows states and counts, no rows and no predictions.
OPEN_PATHS = frozenset({"/livez", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"})
# Where a token is shown for a session, and what that page looks like; and the end of a session is for all who have one.
_SIGN_IN, _SIGN_OUT, _STYLE = "/dashboard/sign-in", "/dashboard/sign-out", "/dashboard/static/"


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is kept: never the token itself, only the SHA-256 of it (32 bytes).

    ``expires_at`` is in seconds since 1970; ``requests_per_s`` overrides the service's own limit.
    """

    name: str
    sha256: bytes
    scopes: frozenset[Scope]
    expires_at: float | None = None
    requests_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused; ``challenge`` is what WWW-Authenticate says (RFC 6750)."""

    status: int
    detail: str
    challenge: str | None = None
    retry_after_s: int | None = None


ABSENT = Refusal(
    401, "a token is needed; send it as Authorization: Bearer TOKEN (shipway token create)", 'Bearer realm="shipway"'
)
UNKNOWN = Refusal(401, "the token is not known here, or was revoked", 'Bearer realm="shipway", error="invalid_token"')


def scope_of(method: str, path: str) -> Scope | None:
    """The scope that a request needs; None where it is open to all.

    What no rule names needs ``read`` to look and ``operate`` to change, so that a new route is never open by neglect.
    """
    if method == "POST":
        if path == "/predict" or path.startswith("/predict/") or (path.startswith("/v2/") and path.endswith("/infer")):
            return "predict"
        if path == "/feedback" or path.startswith("/feedback/"):
            return "feedback"
    if method == "GET" and path.startswith("/results/"):
        return "predict"  # whoever may ask may have the answer
    if path.startswith("/features/"):
        return "operate"  # what is known of one person or firm
    if path in OPEN_PATHS:
        return None
    if (path == _SIGN_IN and method in ("GET", "POST")) or (path.startswith(_STYLE) and method == "GET"):
        return None
    if method == "POST" and path == _SIGN_OUT:
        return "read"
    return "read" if method in ("GET", "HEAD", "OPTIONS") else "operate"


def refuses(token: Token, scope: Scope, now: float) -> Refusal | None:
    """Why a known token does not open this scope at ``now`` (seconds since 1970); None where it does."""
    if token.expires_at is not None and now >= token.expires_at:
        return Refusal(401, f"the token {token.name!r} has expired", UNKNOWN.challenge)
    if scope not in token.scopes:
        return Refusal(
            403,
            f"the token {token.name!r} lacks the scope {scope!r}; it has {_listed(token.scopes)}",
            f'Bearer realm="shipway", error="insufficient_scope", scope="{scope}"',
        )
    return None


def admit(due: float, now: float, per_s: float, burst: int) -> tuple[float, Refusal | None]:
    """One request more of a token: the moment its allowance is used up to, and a refusal where that is too far ahead.

    The generic cell rate algorithm (ITU-T I.371), a token bucket that is one number: ``due`` moves 1/per_s ahead at
    each request, and may be ``burst`` requests ahead of ``now``. Any clock in seconds; ``due`` is first 0.
    """
    due = max(due, now)
    wait_s = due - now - (burst - 1) / per_s
    if wait_s > 1e-9:
        return due, Refusal(
            429, f"more than {per_s:g} requests a second with this token", retry_after_s=max(1, math.ceil(wait_s))
        )
    return due + 1 / per_s, None


def _listed(scopes: Collection[str]) -> str:
    return ", ".join(sorted(scopes)) or "none"

"""Whether a browser's request may come in: signed in, from our own pages, by a name that is ours. Pure.

A cookie says who is signed in, and browsers send cookies along whoever made them ask. So a request that changes
something must also show that one of our pages made it: by a token in a header, made of the cookie, which no other site
can read; by Origin and Sec-Fetch-Site where the browser tells them. Without API tokens there is no cookie to steal, but
a page of another site could still ask a service on this machine, by a name of its own that leads here (DNS rebinding):
so then only addresses, names without a dot, and names that the settings list are answered.
"""

import hashlib
import hmac
import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

PREFIX = "/dashboard"
SIGN_IN = "/dashboard/sign-in"
COOKIE = "shipway_session"
CSRF_HEADER = b"x-shipway-csrf"
_LOOKS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True)
class Asked:
    """A request. ``session``: the cookie's value; ``known``: whether that session lasts and its token is in force."""

    method: str
    path: str
    host: str = ""
    origin: str | None = None
    fetch_site: str | None = None
    session: str | None = None
    known: bool = False
    csrf: str | None = None
    bearer: bool = False
    by_htmx: bool = False


@dataclass(frozen=True)
class Admitted:
    """It may go on to the guard."""


@dataclass(frozen=True)
class ToSignIn:
    """Nobody is signed in: there is where to do it; ``location`` leads back after that."""

    location: str


@dataclass(frozen=True)
class Turned:
    """It is turned away."""

    status: int
    detail: str


def admit(asked: Asked, *, tokens: bool, hosts: Collection[str] = ()) -> Admitted | ToSignIn | Turned:
    """What becomes of a request for the dashboard. ``tokens``: whether the service asks for API tokens at all."""
    if not tokens and not _ours(asked.host, hosts):
        named = f"this service is not called {asked.host[:100]!r}"
        return Turned(421, f"{named}; set SHIPWAY_MONITOR__DASHBOARD__HOSTS, or AUTH__TOKENS_FILE")
    if asked.method not in _LOOKS:
        return _admit_change(asked, tokens=tokens)
    if tokens and not (asked.known or asked.bearer or is_open(asked.path)):
        return ToSignIn(f"{SIGN_IN}?next={quote(asked.path)}" if asked.path != PREFIX else SIGN_IN)
    return Admitted()


def _admit_change(asked: Asked, *, tokens: bool) -> Admitted | ToSignIn | Turned:
    if not _from_here(asked):
        return Turned(403, "asked for by a page of another site")
    if asked.path == SIGN_IN:
        return Admitted()  # there is no session yet that another site could use
    if asked.session is None or (tokens and not asked.known):
        return ToSignIn(SIGN_IN) if tokens else Turned(403, "load the page again: its cookie is missing")
    if asked.csrf is None or not hmac.compare_digest(asked.csrf.encode(), csrf_of(asked.session).encode()):
        return Turned(403, "load the page again: it belongs to another session")
    return Admitted()


def _from_here(asked: Asked) -> bool:
    """By what the browser itself says of the page; a program that is none says nothing."""
    if asked.fetch_site is not None:
        return asked.fetch_site in ("same-origin", "none")
    return asked.origin is None or asked.origin.partition("://")[2] == asked.host


def is_open(path: str) -> bool:
    """Whether a page of the dashboard is for everybody: signing in, and what its style is made of."""
    return path == SIGN_IN or path.startswith(f"{PREFIX}/static/")


def csrf_of(session: str) -> str:
    """The token that shows that a page was made for this session. Of 256 random bits it gives nothing away."""
    return hashlib.sha256(b"shipway csrf " + session.encode()).hexdigest()


def safe_next(path: str) -> str:
    """Where to go after signing in: a page of the dashboard, never another site."""
    inside = path == PREFIX or path.startswith(f"{PREFIX}/")
    return path if inside and "\\" not in path and path.isprintable() else PREFIX


def _ours(host: str, hosts: Collection[str]) -> bool:
    name = urlsplit(f"//{host}").hostname if _plausible(host) else None
    if name is None:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "." not in name or name in hosts
    return True


def _plausible(host: str) -> bool:
    try:
        return bool(host) and "@" not in host and urlsplit(f"//{host}").netloc == host
    except ValueError:
        return False

"""Who is signed in at the dashboard, in PostgreSQL: so a session outlives a restart, and holds at every monitor.

A session is 256 random bits in a cookie, and stands for the API token that was shown for it: what that token may, the
session may, for as long as both last. Kept is only its hash; the token itself is kept nowhere.
"""

import hashlib
import secrets
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from shipway.monitor.tables import dashboard_sessions as sessions
from shipway.runtime.database import Transaction

MOST = 100  # sessions of one token


def new_id() -> str:
    """An id that nobody can guess."""
    return secrets.token_urlsafe(32)


async def begin(tx: Transaction, token_sha256: bytes, lasts: timedelta) -> str:
    """Begins a session of a token's; gives its id. Those that are over, or too many of that token, are swept out."""
    await tx.execute(sa.delete(sessions).where(sessions.c.expires_at <= sa.func.now()))
    session = new_id()
    values = {"id_sha256": _digest(session), "token_sha256": token_sha256, "expires_at": sa.func.now() + lasts}
    await tx.execute(insert(sessions).values(**values))
    of_token = sessions.c.token_sha256 == token_sha256
    newest = sa.select(sessions.c.id_sha256).where(of_token).order_by(sessions.c.expires_at.desc()).limit(MOST)
    await tx.execute(sa.delete(sessions).where(of_token, sessions.c.id_sha256.not_in(newest)))
    return session


async def token_of(tx: Transaction, session: str) -> bytes | None:
    """The SHA-256 of the token that a session stands for; None where there is no such session (any more)."""
    this = (sessions.c.id_sha256 == _digest(session)) & (sessions.c.expires_at > sa.func.now())
    found: bytes | None = (await tx.execute(sa.select(sessions.c.token_sha256).where(this))).scalar_one_or_none()
    return found


async def end(tx: Transaction, session: str) -> None:
    """Ends a session."""
    await tx.execute(sa.delete(sessions).where(sessions.c.id_sha256 == _digest(session)))


def _digest(session: str) -> bytes:
    return hashlib.sha256(session.encode()).digest()

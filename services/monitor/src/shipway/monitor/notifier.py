"""The reconciler that tells people of alerts, by webhooks and mail: what each target was told is held against what is.

Level-triggered: a target that was away is told how things are now, not all that has been. Told at least once; who is
told knows an alert by its id (Alertmanager by its labels). A silence or an acknowledgement only holds off the telling.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import httpx

from shipway.monitor import alerts, mail, metrics, noticeboard
from shipway.monitor.notices import AGAIN, Format, link_of, notice
from shipway.monitor.settings import AlertSettings
from shipway.runtime import log
from shipway.runtime.database import Database

_log = log.get(__name__)
AT_ONCE = 100
WITHIN_S = 10.0


@dataclass(frozen=True)
class Target:
    """Who is told, under which name in the database; ``least``: the least severity that it wants."""

    name: str
    url: str
    form: Format | Literal["email"]
    least: str = "warning"
    sender: str = ""
    to: tuple[str, ...] = ()


def targets_of(settings: AlertSettings) -> list[Target]:
    """Those that the settings name."""
    found = []
    if url := settings.webhook_url.get_secret_value():
        found.append(Target("webhook", url, settings.webhook_format, settings.webhook_least))
    if settings.alertmanager_url:
        place = settings.alertmanager_url.rstrip("/") + "/api/v2/alerts"
        found.append(Target("alertmanager", place, "alertmanager"))
    if url := settings.smtp_url.get_secret_value():
        to = tuple(one.strip() for one in settings.email_to.split(","))
        found.append(Target("email", url, "email", settings.email_least, settings.email_from, to))
    return found


class Notifier:
    """Steps over alerts; ``step`` is made for a Reconciler."""

    def __init__(self, database: Database, settings: AlertSettings, client: httpx.AsyncClient) -> None:
        self._database = database
        self._targets = targets_of(settings)
        self._home = settings.documentation_url
        self._client = client

    async def step(self) -> bool:
        """Tells each target of what it does not know; True where there is more."""
        more = False
        for target in self._targets:
            async with self._database.begin() as tx:
                again = AGAIN if target.form == "alertmanager" else None
                due = await noticeboard.due(tx, target.name, target.least, again, AT_ONCE)
            for row in due:
                if not await self._tell(target, row):
                    break  # it is away, or slow: the others are not to wait for it
            else:
                more |= len(due) == AT_ONCE
        return more

    async def _tell(self, target: Target, row: Any) -> bool:
        state = "ended" if row.ended_at is not None else "raised" if row.told_changes is None else "updated"
        told = alerts.told_of(row, state)
        alert = {name: getattr(told, name) for name in told.__struct_fields__}
        problem = await self._deliver(target, alert)
        async with self._database.begin() as tx:
            await noticeboard.told(tx, row, target.name, problem)
        metrics.NOTICES.labels(target.name, "failed" if problem else "told").inc()
        if problem:
            _log.warning("alert not told", target=target.name, alert=row.id, reason=problem)
        return problem is None

    async def _deliver(self, target: Target, alert: dict[str, Any]) -> str | None:
        now = datetime.now(UTC)
        if target.form != "email":
            return await self._post(target.url, notice(alert, target.form, now, self._home))
        made = mail.message(alert, link_of(alert, self._home), target.sender, target.to, now)
        return await asyncio.to_thread(mail.send, target.url, made)

    async def _post(self, url: str, body: Any) -> str | None:
        """Why it was not taken; None where it was."""
        try:
            answer = await self._client.post(url, json=body, timeout=WITHIN_S, follow_redirects=False)
        except httpx.HTTPError as err:
            return f"no answer: {err or type(err).__name__}"[:300]
        except httpx.InvalidURL as err:
            return f"not an address: {err}"[:300]
        return None if answer.is_success else f"it says {answer.status_code}: {answer.text[:200]}"

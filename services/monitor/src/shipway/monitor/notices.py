"""An alert in the words of those who take it: plain JSON, Slack's webhooks, Alertmanager's API. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

Format = Literal["json", "slack", "alertmanager"]
# Alertmanager forgets an alert that is not sent again; it is told this much longer than the next time.
AGAIN = timedelta(seconds=60)
_STATES = {"raised": ":red_circle:", "updated": ":large_orange_circle:", "ended": ":large_green_circle:"}


def notice(alert: dict[str, Any], form: Format, now: datetime, home: str) -> Any:
    """The body of a request that tells of an alert. ``home``: where the documentation is, ahead of its page."""
    link = link_of(alert, home)
    if form == "slack":
        return {"text": _text(alert, link)}
    if form == "alertmanager":
        return [_alertmanager(alert, link, now)]
    return {name: _plain(value) for name, value in alert.items()} | {"page": link, "title": title(alert)}


def link_of(alert: dict[str, Any], home: str) -> str:
    """Where the alert's page of the playbook is."""
    page: str = alert["page"]
    return f"{home.rstrip('/')}/{page}" if home else page


def title(alert: dict[str, Any]) -> str:
    """An alert in a few words."""
    version = f" version {alert['version']}" if alert["version"] else ""
    of = f" of {alert['subject']}" if alert["subject"] else ""
    return f"{alert['model']}{version}: {alert['kind']}{of}"


def _text(alert: dict[str, Any], link: str) -> str:
    # Names of features and classes come from outside, and Slack reads <, > and & as its own.
    shown = f"*{title(alert)}* {alert['state']} ({alert['severity']})\n{alert['reason']}\n{link}"
    return f"{_STATES[alert['state']]} " + shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _alertmanager(alert: dict[str, Any], link: str, now: datetime) -> dict[str, Any]:
    labels = {
        "alertname": "Shipway" + "".join(word.capitalize() for word in alert["kind"].split()),
        "model": alert["model"],
        "version": str(alert["version"] or ""),
        "subject": alert["subject"],
        "severity": alert["severity"],
    }
    over = alert["state"] == "ended"
    return {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": {"summary": title(alert), "description": alert["reason"], "runbook_url": link},
        "startsAt": _plain(alert["raised_at"]),
        "endsAt": _plain(alert["changed_at"] if over else now + 5 * AGAIN),
    }


def _plain(value: Any) -> Any:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value

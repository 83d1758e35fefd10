"""Alerts by e-mail: one message for each change, over SMTP. Blocking: called in a thread."""

import smtplib
import ssl
from collections.abc import Sequence
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import Any
from urllib.parse import unquote, urlsplit

from shipway.monitor.notices import title

WITHIN_S = 10.0


def message(alert: dict[str, Any], link: str, sender: str, to: Sequence[str], now: datetime) -> EmailMessage:
    """An alert as a message. Names from outside can't add headers: what breaks a line becomes a space."""
    made = EmailMessage()
    made["Subject"] = " ".join(f"[{alert['severity']}] {title(alert)} {alert['state']}".split())[:200]
    made["From"], made["To"] = Address(addr_spec=sender), ", ".join(to)
    made["Date"], made["Message-ID"] = format_datetime(now), make_msgid(domain=sender.partition("@")[2])
    # Mail readers put the changes of one alert together.
    made["References"] = f"<{alert['alert_id']}@{sender.partition('@')[2]}>"
    made.set_content(f"{alert['reason']}\n\nsince {alert['raised_at']:%Y-%m-%d %H:%M} UTC\n{link}\n")
    return made


def send(url: str, made: EmailMessage) -> str | None:
    """Sends a message by ``smtp://user:password@host:587`` (STARTTLS) or ``smtps://``; gives why it was not taken."""
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "smtps"
    try:
        with _connected(host, parts.port or (465 if secure else 587), secure=secure) as server:
            if not secure and parts.username:
                server.starttls(context=ssl.create_default_context())
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
            server.send_message(made)
    except (smtplib.SMTPException, OSError) as err:
        return f"{host}: {err or type(err).__name__}"[:300]
    return None


def _connected(host: str, port: int, *, secure: bool) -> smtplib.SMTP:
    if secure:
        return smtplib.SMTP_SSL(host, port, timeout=WITHIN_S, context=ssl.create_default_context())
    return smtplib.SMTP(host, port, timeout=WITHIN_S)

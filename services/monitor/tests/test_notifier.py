"""Alerts on their way to people: none is lost while a target is away, silences hold them off, each form is right."""

import email
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from services.monitor.tests.handed import Said
from shipway.contract import events as e
from shipway.monitor import alerts
from shipway.monitor.alerting import Rule
from shipway.monitor.judgement import Finding
from shipway.monitor.mail import message
from shipway.monitor.notices import notice
from shipway.monitor.notifier import Notifier
from shipway.monitor.settings import AlertSettings
from shipway.monitor.tables import notices, silences
from shipway.runtime.database import Database

NOW = datetime.now(UTC)
RULE = Rule({})
Follow = Callable[..., Awaitable[int]]


class Receiver:
    """Whoever is told: takes requests, or is away."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, Any]] = []
        self.answer: int | None = 200

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.answer is None:
            raise httpx.ConnectError("refused")
        if self.answer == 200:
            self.taken.append((request.url.path, msgspec.json.decode(request.content)))
        return httpx.Response(self.answer)


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
async def notifier(database: Database, receiver: Receiver) -> AsyncIterator[Callable[..., Notifier]]:
    """Gives one with these settings."""
    async with httpx.AsyncClient(transport=httpx.MockTransport(receiver)) as client:

        def start(**settings: Any) -> Notifier:
            said = {"webhook_url": "http://people/hook", "documentation_url": "http://docs/"} | settings
            return Notifier(database, AlertSettings(**said), client)

        yield start


@pytest.fixture
def follow(database: Database) -> Follow:
    """A window's finding: ``await follow(True, figure=0.3)``."""

    async def one(alarm: bool, figure: float = 0.2, kind: str = "errors", model: str = "m", rule: Rule = RULE) -> int:
        found = Finding(1, kind, "", "alarm" if alarm else "ok", alarm, figure, 0.05, None, "6 of 30 <failed>")
        async with database.begin() as tx:
            return await alerts.follow(tx, "shipway/monitor", model, [found], rule, NOW)

    return one


async def pauses_over(database: Database) -> None:
    async with database.begin() as tx:
        await tx.execute(sa.update(notices).values(due_at=None))


async def listed(database: Database, *, ended: bool = False) -> list[dict[str, Any]]:
    async with database.begin() as tx:
        return await alerts.listed(tx, "m", ended=ended)


async def test_one_alert_while_it_lasts_and_an_event_for_each_change(
    database: Database, said: Said, follow: Follow
) -> None:
    for alarm, figure in (
        (True, 0.2),
        (True, 0.21),
        (True, 0.9),
        (False, 0.0),
        (True, 0.9),
        (False, 0.0),
        (False, 0.0),
    ):
        await follow(alarm, figure)
    assert [event.state for event in await said(e.AlertChanged)] == ["raised", "updated", "ended"]
    assert len({event.alert_id for event in await said(e.AlertChanged)}) == 1
    assert (await said(e.AlertChanged))[0].page == "docs/playbook.md#errors"
    assert await listed(database) == []
    await follow(True)
    (open_one,) = await listed(database)
    assert (open_one["severity"], open_one["silenced"], open_one["figure"]) == ("critical", False, 0.2)
    assert len(await listed(database, ended=True)) == 2


@pytest.mark.parametrize("answer", [None, 503, 404])
async def test_a_target_that_was_away_is_told_how_things_are(
    database: Database, notifier: Callable[..., Notifier], receiver: Receiver, follow: Follow, answer: int | None
) -> None:
    receiver.answer = answer
    await follow(True)
    await notifier().step()
    await follow(True, 0.9)
    receiver.answer = 200
    await notifier().step()
    assert receiver.taken == [], "it rests after a failure"
    await pauses_over(database)
    await notifier().step()
    await notifier().step()
    ((path, body),) = receiver.taken
    assert (path, body["state"], body["figure"]) == ("/hook", "raised", 0.9)
    assert body["page"] == "http://docs/docs/playbook.md#errors"
    for _ in range(2):
        await follow(False)
    await notifier().step()
    assert [taken["state"] for _, taken in receiver.taken] == ["raised", "ended"]


async def test_a_silence_holds_off_the_telling_and_ends(
    database: Database, notifier: Callable[..., Notifier], receiver: Receiver, follow: Follow
) -> None:
    async with database.begin() as tx:
        made = await alerts.silence(tx, "m", "errors", timedelta(hours=1), "ann", "a deploy")
    await follow(True)
    await follow(True, kind="drift")
    await follow(True, model="other")
    await notifier().step()
    assert sorted((body["model"], body["kind"]) for _, body in receiver.taken) == [("m", "drift"), ("other", "errors")]
    assert {one["kind"]: one["silenced"] for one in await listed(database)} == {"errors": True, "drift": False}
    async with database.begin() as tx:
        assert [one["id"] for one in await alerts.silences_now(tx)] == [made["id"]]
        assert await alerts.end_silence(tx, made["id"])
        assert not await alerts.end_silence(tx, made["id"])
    await notifier().step()
    assert [body["kind"] for _, body in receiver.taken[2:]] == ["errors"]


async def test_what_comes_and_goes_in_a_silence_is_not_told(
    database: Database, notifier: Callable[..., Notifier], receiver: Receiver, follow: Follow
) -> None:
    async with database.begin() as tx:
        made = await alerts.silence(tx, None, None, timedelta(hours=1), "ann", "")
        await tx.execute(sa.update(silences).values(made_at=NOW - timedelta(hours=1)))
    for alarm in (True, False, False):
        await follow(alarm)
    async with database.begin() as tx:
        await alerts.end_silence(tx, made["id"])
    await notifier().step()
    assert receiver.taken == []


async def test_an_acknowledged_alert_is_told_again_only_when_it_ends(
    database: Database, notifier: Callable[..., Notifier], receiver: Receiver, follow: Follow
) -> None:
    await follow(True)
    await notifier().step()
    (alert,) = await listed(database)
    async with database.begin() as tx:
        assert await alerts.acknowledge(tx, alert["id"], "ann", "on it") is not None
        assert await alerts.acknowledge(tx, "none", "ann", "") is None
    await follow(True, 0.9)
    await notifier().step()
    for _ in range(2):
        await follow(False)
    await notifier().step()
    assert [body["state"] for _, body in receiver.taken] == ["raised", "ended"]


async def test_less_severe_ones_are_told_only_to_those_who_want_them(
    notifier: Callable[..., Notifier], receiver: Receiver, follow: Follow
) -> None:
    await follow(True, kind="drift")
    await notifier(webhook_least="critical").step()
    assert receiver.taken == []
    await notifier(webhook_least="warning").step()
    assert len(receiver.taken) == 1


async def test_alertmanager_is_told_again_while_an_alert_lasts(
    database: Database, notifier: Callable[..., Notifier], receiver: Receiver, follow: Follow
) -> None:
    telling = notifier(webhook_url="", alertmanager_url="http://am:9093/")
    await follow(True)
    await telling.step()
    await telling.step()
    assert [path for path, _ in receiver.taken] == ["/api/v2/alerts"]
    async with database.begin() as tx:
        await tx.execute(sa.update(notices).values(told_at=notices.c.told_at - timedelta(minutes=2)))
    await telling.step()
    for _ in range(2):
        await follow(False)
    await telling.step()
    ends = [datetime.fromisoformat(body[0]["endsAt"]) for _, body in receiver.taken]
    assert len(ends) == 3 and ends[0] > NOW + timedelta(minutes=4) and ends[2] == NOW
    assert receiver.taken[0][1][0]["labels"] == {
        "alertname": "ShipwayErrors",
        "model": "m",
        "version": "1",
        "severity": "critical",
    }


class Mailbox(threading.Thread):
    """An SMTP server that takes one message, or ends the call with 554."""

    def __init__(self, *, takes: bool = True) -> None:
        super().__init__(daemon=True)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = f"smtp://127.0.0.1:{self.server.getsockname()[1]}"
        self.takes = takes
        self.text = ""
        self.start()

    def run(self) -> None:
        connection, _ = self.server.accept()
        with connection, connection.makefile("rwb") as wire:

            def say(line: bytes) -> None:
                wire.write(line + b"\r\n")
                wire.flush()

            say(b"220 mailbox" if self.takes else b"554 go away")
            for line in wire:
                verb = line[:4].upper()
                if verb == b"DATA":
                    say(b"354 go on")
                    self.text = "".join(iter(lambda: wire.readline().decode(), ".\r\n"))
                say(b"221 bye" if verb == b"QUIT" else b"250 ok")
                if verb == b"QUIT":
                    break


async def test_alerts_are_mailed_and_again_after_a_refusal(
    database: Database, notifier: Callable[..., Notifier], follow: Follow
) -> None:
    refusing, box = Mailbox(takes=False), Mailbox()
    mailed = {"webhook_url": "", "email_from": "shipway@example.org", "email_to": "ann@example.org, bob@example.org"}
    await follow(True)
    await notifier(**mailed, smtp_url=refusing.url).step()
    async with database.begin() as tx:
        assert "127.0.0.1" in (await tx.execute(sa.select(notices.c.problem))).scalar_one()
    await pauses_over(database)
    await notifier(**mailed, smtp_url=box.url).step()
    box.join(10)
    read = email.message_from_string(box.text)
    assert (read["Subject"], read["To"]) == (
        "[critical] m version 1: errors raised",
        "ann@example.org, bob@example.org",
    )
    assert "6 of 30 <failed>" in str(read.get_payload())
    assert "http://docs/docs/playbook.md#errors" in str(read.get_payload())


def test_a_name_from_outside_adds_no_header_to_a_mail() -> None:
    alert = {"model": "m", "version": 1, "kind": "drift", "subject": "x\r\nBcc: all@example.org", "state": "raised"}
    alert |= {"severity": "warning", "reason": "why", "alert_id": "1", "raised_at": NOW}
    made = message(alert, "link", "a@example.org", ["b@example.org"], NOW)
    assert made["Bcc"] is None and "Bcc: all@example.org" in made["Subject"]


@pytest.mark.parametrize(
    "wrong", [{"email_to": "ann"}, {"email_from": ""}, {"smtp_url": "http://host"}, {"smtp_url": "smtp://"}]
)
def test_mail_without_addresses_is_refused_at_the_start(wrong: dict[str, str]) -> None:
    good = {"smtp_url": "smtp://host", "email_from": "a@example.org", "email_to": "b@example.org"}
    AlertSettings.model_validate(good)
    with pytest.raises(ValidationError, match=r"smtp|address"):
        AlertSettings.model_validate(good | wrong)


@pytest.mark.parametrize("wrong", ["ftp://x", "people/hook", "javascript:alert(1)"])
def test_an_address_that_is_none_is_refused_at_the_start(wrong: str) -> None:
    for name in ("webhook_url", "alertmanager_url"):
        with pytest.raises(ValidationError, match="http://"):
            AlertSettings.model_validate({name: wrong})


def test_names_from_outside_are_no_markup_in_slack() -> None:
    alert = {"model": "m", "version": None, "kind": "drift", "subject": "<!channel>", "state": "raised"}
    alert |= {"severity": "warning", "reason": "a & b", "page": "docs/playbook.md#drift"}
    text = notice(alert, "slack", NOW, "")["text"]
    assert "<" not in text and "&lt;!channel&gt;" in text and "a &amp; b" in text

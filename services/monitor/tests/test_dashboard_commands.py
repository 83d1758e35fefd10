"""What buttons ask for: signed, in the name of the token, and nothing that no button asks for."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import httpx
import msgspec
import pytest
import sqlalchemy as sa
from dashboard import yearly
from dashboard.pressing import OPERATOR_KEY
from dashboard.served import dashboard
from eventfuzz import golden

from shipway.contract.commandseal import Unauthorised, check_seal
from shipway.contract.envelope import decode
from shipway.contract.errors import InvalidField
from shipway.contract.events import (
    CommandAnswered,
    DeadLettered,
    OperatorAction,
    OperatorCommand,
    ReplayFailed,
    ReplayRequested,
    TrainingCancelRequested,
    TrainingRequested,
    TrainingRetryRequested,
)
from shipway.monitor import letters
from shipway.monitor import tables as t
from shipway.monitor.dashboard import commands, wanted
from shipway.monitor.dashboard.admission import COOKIE, csrf_of
from shipway.monitor.dashboard.hand import Hand, hand_of
from shipway.runtime.database import Database

HOST = "127.0.0.1:8090"
Press = Callable[..., Awaitable[httpx.Response]]


async def published(database: Database) -> list[tuple[str, Any, Any]]:
    """Topic, event and message of what waits to be sent."""
    async with database.begin() as tx:
        rows = (await tx.execute(sa.text("select topic, value, headers from outbox order by seq"))).all()
    found = []
    for row in rows:
        headers = msgspec.msgpack.decode(row.headers, type=list[tuple[str, bytes]])
        found.append((row.topic, decode(row.value, headers), (row.value, headers)))
    return found


async def test_a_command_is_signed_and_says_whose_token_asked(press: Press, database: Database) -> None:
    now = datetime.now(UTC)
    for action in get_args(OperatorAction):
        answer = await press(
            f"/models/flights/commands/{action}", version="2", reason=" because\n so ", requested_by="eve"
        )
        assert answer.status_code == 200, answer.text
        topic, event, (value, headers) = (await published(database))[-1]
        assert topic == "shipway.operator-commands"
        assert isinstance(event.payload, OperatorCommand)
        said = event.payload
        assert (said.action, said.version, said.model) == (action, 2, "flights")
        assert (said.requested_by, said.reason) == ("bob (dashboard)", "because so")
        check_seal(value, headers, OPERATOR_KEY.encode(), given_at=event.time, now=now, window_s=60)
        with pytest.raises(Unauthorised):
            check_seal(value, headers, b"another key of thirty-two letters", given_at=event.time, now=now, window_s=60)


async def test_the_page_waits_for_what_became_of_a_command(press: Press, database: Database, put: Any) -> None:
    asked = await press("/models/flights/commands/freeze")
    ((_, event, _),) = await published(database)
    path = f"/models/flights/outcomes/command/{event.payload.command_id}"
    assert path in asked.text
    assert "waiting" in (await press(path, look=True)).text
    said = {"model": "flights", "command_id": event.payload.command_id, "action": "freeze", "version": None}
    await put(CommandAnswered(**said, done=True, answer="no release starts", requested_by="bob"))
    done = (await press(path, look=True)).text
    assert "no release starts" in done and "hx-get" not in done
    assert "Unfreeze" in (await press("/models/flights", look=True)).text


async def test_trainings_are_asked_for_and_jobs_run_again(press: Press, database: Database) -> None:
    assert (await press("/models/flights/train", until="2026-03-01", reason="newer data")).status_code == 200
    async with database.begin() as tx:
        request_id = (
            (await tx.execute(sa.select(t.requests.c.request_id).where(t.requests.c.model == "flights")))
            .scalars()
            .first()
        )
    assert (await press(f"/models/flights/jobs/{request_id}/retry")).status_code == 200
    assert (await press(f"/models/flights/jobs/{request_id}/cancel")).status_code == 200
    training, retry, cancel = [event.payload for _, event, _ in await published(database)]
    assert isinstance(training, TrainingRequested)
    assert (training.until, training.reason) == (datetime(2026, 3, 1, tzinfo=UTC), "newer data")
    assert isinstance(retry, TrainingRetryRequested) and isinstance(cancel, TrainingCancelRequested)
    assert {training.requested_by, retry.requested_by, cancel.requested_by} == {"bob (dashboard)"}
    assert (await press(f"/models/churn/jobs/{request_id}/cancel")).status_code == 404, "another model's"


async def test_a_replay_is_asked_for_shown_under_way_and_with_what_it_found(
    press: Press, database: Database, put: Any
) -> None:
    asked = await press("/models/flights/versions/1/replay", days="3", limit="500", reason="to see")
    ((topic, event, (value, headers)),) = await published(database)
    said = event.payload
    assert topic == "shipway.operator-commands" and isinstance(said, ReplayRequested)
    check_seal(value, headers, OPERATOR_KEY.encode(), given_at=event.time, now=datetime.now(UTC), window_s=60)
    assert (said.version, said.limit, said.end - said.start) == (1, 500, timedelta(days=3))
    assert (said.reason, said.requested_by) == ("to see", "bob (dashboard)")
    path = asked.text.partition('hx-get="')[2].partition('"')[0].replace("&amp;", "&")
    assert "waiting" in (await press(path, look=True)).text
    await put(said, datetime.now(UTC))
    page = (await press("/models/flights/versions/1", look=True)).text
    assert "under way" in page and "bob (dashboard): to see" in page
    found = golden("shipway.ReplayCompleted.v1", version=1, command_id=said.command_id).payload
    await put(found, datetime.now(UTC))
    ended = (await press(path, look=True)).text
    assert "9,800 predictions asked again: scores differ by 0.0134 on average, 147 decisions (1.5 %)" in ended
    page = (await press("/models/flights/versions/1", look=True)).text
    assert "under way" not in page
    for words in ("0.748", "90 from false to true", "left out: 200 features not kept", "300 by version 2"):
        assert words in page


async def test_a_replay_that_is_refused_says_by_whom_and_why(press: Press, database: Database, put: Any) -> None:
    asked = await press("/models/flights/versions/2/replay")
    said = (await published(database))[-1][1].payload
    assert (said.limit, said.end - said.start) == (10_000, timedelta(days=7))
    path = asked.text.partition('hx-get="')[2].partition('"')[0].replace("&amp;", "&")
    await put(said, datetime.now(UTC))
    letter: dict[str, Any] = {"service": "evaluator", "topic": "shipway.operator-commands", "partition": 0, "offset": 1}
    letter |= {"key": b"flights", "value": b"{}", "headers": [("ce_id", said.command_id.encode())], "error": "x"}
    await put(DeadLettered(**letter, at=datetime.now(UTC), reason="the command is not signed"))
    refused = "the evaluator does not take it: the command is not signed"
    for page in (path, "/models/flights/versions/2"):
        assert refused in (await press(page, look=True)).text
    failed = ReplayFailed(model="flights", version=2, command_id="other", reason="no prediction", requested_by="eve")
    await put(failed, datetime.now(UTC))
    assert "no prediction" in (await press("/models/flights/versions/2", look=True)).text
    assert "no replay: no prediction" in (await press("/models/flights/outcomes/replay/other", look=True)).text


WRONG: list[tuple[str, dict[str, str], int, str]] = [
    ("/models/flights/commands/explode", {}, 422, "action"),
    ("/models/flights/commands/pin", {"version": "two"}, 422, "version"),
    ("/models/flights/commands/pin", {"version": "-1"}, 422, "version"),
    ("/models/flights/commands/pin", {"version": "9" * 40}, 422, "version"),
    ("/models/flights/commands/freeze", {"reason": "x" * 501}, 422, "reason"),
    ("/models/flights/commands/freeze", {"reason": "\x00"}, 400, "NUL"),
    ("/models/none/commands/freeze", {}, 404, "none"),
    ("/models/none/train", {}, 404, "none"),
    ("/models/none/versions/1/replay", {}, 404, "version 1"),
    ("/models/flights/versions/999/replay", {}, 404, "version 999"),
    ("/models/flights/versions/2/replay", {"days": "0"}, 422, "days"),
    ("/models/flights/versions/2/replay", {"limit": "many"}, 422, "limit"),
    ("/models/flights/train", {"until": "soon"}, 422, "until"),
    ("/models/flights/jobs/none/retry", {}, 404, "none"),
    ("/alerts/none/ack", {}, 404, "alert"),
    ("/silences", {"lasts": "31d"}, 422, "lasts"),
    ("/silences", {"lasts": "soon"}, 422, ""),
    ("/silences", {"lasts": "1h", "kind": "weather"}, 422, "kind"),
    ("/silences", {"lasts": "1h", "model": "none"}, 404, "none"),
    ("/silences/99/end", {}, 404, "silence"),
    ("/dead-letters/99/send-again", {}, 404, "dead letter"),
]


async def test_what_is_wrong_is_said_and_nothing_is_sent(press: Press, database: Database) -> None:
    for path, form, status, named in WRONG:
        answer = await press(path, **form)
        assert (answer.status_code, named in answer.json()["detail"]) == (status, True), (path, answer.text)
    assert await published(database) == []


async def test_alerts_are_acknowledged_and_silenced(press: Press, database: Database) -> None:
    assert (await press("/alerts/fraud-0/ack", reason="asked the data team")).status_code == 200
    assert (await press("/silences", lasts="1h", model="churn", kind="drift", reason="new schedule")).status_code == 200
    page = (await press("/alerts", look=True)).text
    assert "looked after by bob (dashboard): asked the data team" in page
    assert "new schedule" in page
    async with database.begin() as tx:
        silence = (await tx.execute(sa.select(t.silences))).one()
    assert (silence.made_by, silence.kind) == ("bob (dashboard)", "drift")
    assert (await press(f"/silences/{silence.id}/end")).status_code == 200
    assert "new schedule" not in (await press("/alerts", look=True)).text


async def test_a_dead_letter_goes_again_to_where_it_was_and_nowhere_else(
    press: Press, database: Database, put: Any
) -> None:
    headers = [("ce_id", b"e9"), ("ce_type", b"x\x00y"), ("ce_source", b"airflow")]
    letter = DeadLettered(
        service="trainer",
        topic="shipway.training-requests",
        partition=0,
        offset=3,
        reason="wrong\x00",
        error="InvalidField",
        at=datetime.now(UTC),
        key=b"flights",
        value=b"{}",
        headers=headers,
    )
    await put(letter)
    await put(msgspec.structs.replace(letter, topic="shipway.release-events"))
    await put(msgspec.structs.replace(letter, value=b"x" * 500_000))
    async with database.begin() as tx:
        good, astray, cut = [row["id"] for row in reversed((await letters.listed(tx, "trainer", None))[:3])]
    assert (await press(f"/dead-letters/{astray}/send-again")).status_code == 422
    assert (await press(f"/dead-letters/{cut}/send-again")).status_code == 422
    assert (await press(f"/dead-letters/{good}/send-again")).status_code == 200
    async with database.begin() as tx:
        ((topic, value, sent),) = (await tx.execute(sa.text("select topic, value, headers from outbox"))).all()
    assert (topic, value) == ("shipway.training-requests", b"{}")
    assert msgspec.msgpack.decode(sent, type=list[tuple[str, bytes]]) == headers, "unchanged, an own signature included"
    assert "by bob (dashboard)" in (await press("/dead-letters", look=True)).text


async def test_all_that_were_not_sent_again_go_again_once_the_oldest_first(press: Press, database: Database) -> None:
    asked = {"service": "trainer"}
    assert "sent again: 0" in (await press("/dead-letters/send-again", service="releaser")).text
    assert "sent again: 2" in (await press("/dead-letters/send-again", **asked)).text
    assert "sent again: 0" in (await press("/dead-letters/send-again", **asked)).text
    async with database.begin() as tx:
        sent = (await tx.execute(sa.text("select value from outbox order by seq"))).scalars().all()
        rows = await letters.listed(tx, "trainer", None)
    assert [msgspec.json.decode(value)["request_id"] for value in sent] == ["r0", "r1"]
    assert {row["sent_again_by"] for row in rows} == {"bob (dashboard)"}


async def test_what_can_not_go_again_is_named_and_holds_nothing_up(press: Press, database: Database) -> None:
    async with database.begin() as tx:
        await tx.execute(sa.update(t.dead_letters).where(t.dead_letters.c.id == 1).values(topic="shipway.presence"))
    said = (await press("/dead-letters/send-again")).text
    assert "sent again: 1; not 1: topic: " in said and "told bad" in said


async def test_only_so_many_dead_letters_are_kept(
    database: Database, put: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letters, "MOST", 3)
    for offset in range(6):
        await put(
            DeadLettered(
                service="trainer",
                topic="t",
                partition=0,
                offset=offset,
                reason="",
                error="",
                at=datetime.now(UTC),
                key=None,
                value=None,
                headers=[],
            )
        )
    async with database.begin() as tx:
        assert [row["broker_offset"] for row in await letters.listed(tx, None, None)] == [5, 4, 3]
        await letters.forget_before(tx, datetime.now(UTC))
        assert await letters.listed(tx, None, None) == []


async def test_a_dashboard_may_be_told_to_show_only(database: Database, tmp_path: Path) -> None:
    await yearly.fill(database, days=2, stories=yearly.STORIES[:3])
    app = dashboard(database, tmp_path, commands=False)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{HOST}") as client:
        assert "data-ask" not in (await client.get("/dashboard/models/flights")).text
        mark = {"x-shipway-csrf": csrf_of(client.cookies[COOKIE])}
        assert (await client.post("/dashboard/models/flights/commands/freeze", headers=mark)).status_code == 403
        assert await published(database) == []


def test_the_hand_is_what_the_releaser_answered() -> None:
    said = [
        {"action": "freeze", "done": True, "version": None},
        {"action": "unfreeze", "done": False, "version": None},
        {"action": "hold", "done": True, "version": 3},
        {"action": "pin", "done": True, "version": 2},
        {"action": "pin", "done": True, "version": 1},
        {"action": "unpin", "done": True, "version": 1},
        {"action": "restore", "done": True, "version": 4},
        {"action": "retire", "done": True, "version": 4},
        {"action": "approve", "done": True, "version": 5},
    ]
    assert hand_of(said) == Hand(True, frozenset({3}), frozenset({2}), frozenset({5}))
    assert hand_of(
        [*said, {"action": "unfreeze", "done": True}, {"action": "resume", "done": True, "version": 3}]
    ) == Hand(False, frozenset(), frozenset({2}), frozenset({5}))


def test_each_state_offers_what_the_releaser_would_obey() -> None:
    def labels(state: str, hand: Hand | None = None, *, rollout: bool = False) -> list[str]:
        return [b.label for b in commands.of_release(7, state, hand or Hand(), rollout=rollout)]

    assert labels("approved") == ["Approve", "Hold", "Roll back"]
    assert labels("canary", rollout=True) == ["Promote", "Hold", "Roll back"]
    assert labels("canary", Hand(held=frozenset({7})), rollout=True) == ["Promote", "Resume", "Roll back"]
    assert labels("champion") == ["Roll back", "Pin"]
    assert labels("standby", Hand(pinned=frozenset({7}))) == ["Unpin", "Retire"]
    assert labels("retired") == ["Restore"]
    assert labels("rejected") == labels("trained") == []
    assert commands.of_model(Hand(frozen=True)).action == "unfreeze"


@pytest.mark.parametrize(
    ("kind", "label"), [("binary", "3"), ("multiclass", "3"), ("regression", 3.0), ("ranking", 3.0)]
)
def test_a_label_is_a_class_or_a_number_by_the_target(kind: str, label: str | float) -> None:
    assert wanted.label_of({"label": " 3 "}, kind) == label


def test_a_job_is_cancelled_or_retried() -> None:
    with pytest.raises(InvalidField):
        wanted.job("m", "r", "explode", {}, by="b")

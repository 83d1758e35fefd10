"""The fault suite's own parts: a checker that finds what is planted, a plan that can be replayed, a proxy."""

import asyncio
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from chaos.checker import Allowed, History, Request, check, scored_twice
from chaos.clock import Clock, library
from chaos.faults import FAULTS, PREDICTORS, plan
from chaos.proxy import Proxy
from shipway.contract import events as e
from shipway.contract.envelope import Envelope
from shipway.embedded.ports import choose_ports

START = datetime(2026, 1, 1, tzinfo=UTC)


def said(after_s: float, payload: e.Payload) -> Envelope:
    return Envelope(id=f"{after_s}", source="s", time=START + timedelta(seconds=after_s), payload=payload)


def made(kind: type[e.Event], **fields: Any) -> Any:
    """An event with these fields and harmless others."""
    empty: dict[str, Any] = {"digest": "d", "gates": [], "metrics": {}, "champion_version": None, "reason": ""}
    empty |= {"champion_metrics": {}, "signature": {}, "release": {}, "prediction_log": {}, "stage": "", "attempts": 1}
    empty |= {"bundle_bytes": 1, "training_rows": 1, "set_aside_rows": {}, "duration_s": 1.0, "previous_version": None}
    empty |= dict.fromkeys(("train_from", "train_to", "holdout_from", "holdout_to"), START)
    empty |= {"instances": [], "candidate_share": 1.0, "generation": 1, "champion_digest": None, "by_version": 2}
    wanted = {field for field in kind.__struct_fields__ if field in empty} - set(fields)
    return kind(model="m", **{name: empty[name] for name in wanted}, **fields)


def state(generation: int, *versions: int) -> e.DesiredState:
    held = [
        e.HeldVersion(version=v, digest="d", role="champion" if i == 0 else "last_good", signature={})
        for i, v in enumerate(versions)
    ]
    return e.DesiredState(
        model="m", generation=generation, versions=held, traffic=[e.Traffic(version=versions[0], share=1.0)]
    )


def answer(after_s: float, version: int, prediction_id: str) -> Request:
    at = START.timestamp() + after_s
    return Request(at, at + 0.01, 200, version, prediction_id)


EVENTS = (
    said(0.1, made(e.TrainingAccepted, request_id="r1")),
    said(1, made(e.TrainingCompleted, request_id="r1", version=1)),
    said(2, made(e.ModelApproved, request_id="r1", version=1)),
    said(2.1, state(1, 1)),
    said(2.2, made(e.ModelReleased, version=1, release_id="l1")),
    said(2.3, made(e.ReleasePromoted, version=1, release_id="l1")),
    said(10, made(e.TrainingAccepted, request_id="r2")),
    said(11, made(e.TrainingFailed, request_id="r2")),
    said(12, made(e.TrainingAccepted, request_id="r3")),
    said(13, made(e.TrainingCompleted, request_id="r3", version=2)),
    said(14, made(e.ModelApproved, request_id="r3", version=2)),
    said(14.1, state(2, 2, 1)),
    said(14.2, made(e.ModelReleased, version=2, release_id="l2")),
    said(14.3, made(e.ReleasePromoted, version=2, release_id="l2")),
    said(20, state(3, 2)),
)
FAILED = ("d", "gateway", "failed")
LOGGED = {("a", "p1", "answered"): 1, ("b", "p1", "answered"): 1, ("c", "p2", "answered"): 1, FAILED: 1}
GOOD = History(
    requests=(answer(3, 1, "a"), answer(15, 2, "b"), answer(21, 2, "c"), Request(0, 1, 0)),
    events=EVENTS,
    logged=LOGGED,
    filed=LOGGED,
    usage={1: 1, 2: 2},
    champion=2,
)


def without(kind: type[e.Event], **wanted: Any) -> History:
    """The good history, but this event was never said."""
    left = [
        event
        for event in EVENTS
        if not (isinstance(event.payload, kind) and all(getattr(event.payload, k) == v for k, v in wanted.items()))
    ]
    assert len(left) == len(EVENTS) - 1
    return replace(GOOD, events=left)


def with_(*events: Envelope) -> History:
    return replace(GOOD, events=(*EVENTS, *events))


def lacking(*ids: str) -> History:
    """The good history, but these predictions are nowhere on record."""
    left = {name: 1 for name in LOGGED if name[0] not in ids}
    return replace(GOOD, logged=left, filed=left, usage={})


def test_a_good_history_has_no_violation() -> None:
    assert check(GOOD, Allowed()) == []


@pytest.mark.parametrize(
    ("planted", "kind", "words"),
    [
        (without(e.TrainingFailed), "lost", "training r2 was accepted and has no end"),
        (without(e.ReleasePromoted, version=2), "lost", "release l2 began and has no end"),
        (with_(said(30, made(e.TrainingFailed, request_id="r3"))), "doubled", "training r3 ended as"),
        (with_(said(30, made(e.TrainingCompleted, request_id="r3", version=3))), "doubled", "r3 was completed 2"),
        (with_(said(30, made(e.ModelApproved, request_id="r1", version=1))), "doubled", "r1 was judged 2 times"),
        (with_(said(30, made(e.ReleaseRolledBack, version=2, release_id="l2"))), "doubled", "release l2 ended 2"),
        (with_(said(30, state(2, 2, 1))), "generation", "generation 2 came after 3"),
        (with_(said(30, state(3, 2, 1))), "generation", "generation 3 says two things"),
        (replace(GOOD, requests=(answer(1.5, 1, "a"),)), "wrong version", "version 1 answered, but was not approved"),
        (replace(GOOD, requests=(answer(60, 1, "a"),)), "wrong version", "version 1 answered 40 s too late"),
        (lacking("c"), "unlogged", "1 answered predictions are not in the log"),
        (replace(GOOD, logged={**LOGGED, FAILED: 2}), "doubled", "1 records are in the log more"),
        (replace(GOOD, filed=lacking("d").filed), "unlogged", "1 records of 4 are not in the Parquet history"),
        (replace(GOOD, filed={**LOGGED, FAILED: 2}), "doubled", "1 records are in the Parquet history more"),
        (replace(GOOD, filed={**LOGGED, ("e", "p1", "failed"): 1}), "doubled", "1 records of the Parquet"),
        (replace(GOOD, usage={1: 1, 2: 1}), "unlogged", "the monitor counts 2 predictions of 3"),
        (replace(GOOD, usage={1: 1, 2: 3}), "doubled", "the monitor counts 4 predictions, but 3"),
        (replace(GOOD, champion=1), "view", "the monitor's champion is not the one"),
    ],
)
def test_a_planted_violation_is_found_and_nothing_else(planted: History, kind: str, words: str) -> None:
    found = check(planted, Allowed())
    assert [violation.kind for violation in found] == [kind]
    assert words in found[0].what


def test_what_died_with_a_predictor_or_was_dropped_is_no_violation() -> None:
    died = lacking("b", "c")
    assert check(died, Allowed()) and check(died, Allowed(unlogged=1))
    assert check(died, Allowed(unlogged=2)) == []
    assert check(replace(died, dropped=1), Allowed(unlogged=1)) == []
    for uncounted in (replace(GOOD, usage={1: 1}), replace(GOOD, filed=died.filed)):
        assert check(uncounted, Allowed(uncounted=1)) and not check(uncounted, Allowed(uncounted=2))


def test_what_only_the_monitor_had_read_when_the_broker_lost_it_is_no_violation() -> None:
    assert check(replace(GOOD, logged=lacking("c").logged), Allowed()) == []


def test_a_prediction_that_two_instances_have_scored_is_counted_apart() -> None:
    both = {**LOGGED, ("b", "p2", "answered"): 1}
    twice = replace(GOOD, logged=both, filed=both, usage={1: 2, 2: 2})
    assert check(twice, Allowed()) == []
    assert (scored_twice(GOOD), scored_twice(twice)) == (0, 1)


def test_the_faults_are_many_distinct_and_planned_by_the_seed() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names) >= 30
    assert plan(FAULTS, 1) == plan(FAULTS, 1) != plan(FAULTS, 2)
    assert sorted(one.fault.name for one in plan(FAULTS, 3)) == sorted(names)
    for fault in FAULTS:
        gone = {blow.target for blow in fault.blows if blow.manner in ("killed", "paused")}
        assert fault.may_fail == ("gateway" in gone or gone >= set(PREDICTORS)), fault.name


@asynccontextmanager
async def echo(kafka: bool = False) -> AsyncIterator[Proxy]:
    """A server behind a proxy: it says what it hears."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while heard := await reader.read(1000):
                writer.write(heard)
        writer.close()

    ports = choose_ports(["server", "proxy"], usual={})
    server = await asyncio.start_server(serve, "127.0.0.1", ports["server"])
    proxy = Proxy(ports["proxy"], ports["server"], kafka=kafka)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
        server.close()


Ask = Callable[[bytes], Awaitable[bytes]]


async def connect(proxy: Proxy) -> Ask:
    """A connection. Asking gives what is said until 0.3 s of silence, or in words that nothing is, or that it ended."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)

    async def ask(text: bytes) -> bytes:
        heard = b""
        try:
            writer.write(text)
            while chunk := await asyncio.wait_for(reader.read(1000), 0.3):
                heard += chunk
        except TimeoutError:
            return heard or b"nothing"
        except ConnectionError:
            return b"ended"
        return b"ended"

    return ask


async def test_a_proxy_passes_refuses_and_is_there_again() -> None:
    async with echo() as proxy:
        ask = await connect(proxy)
        assert await ask(b"one") == b"one"
        await proxy.set("refused")
        assert await ask(b"two") == b"ended"
        with pytest.raises(ConnectionRefusedError):
            await connect(proxy)
        await proxy.set("pass")
        assert await (await connect(proxy))(b"three") == b"three"


async def test_what_a_black_hole_swallowed_comes_when_it_is_lifted() -> None:
    async with echo() as proxy:
        old = await connect(proxy)
        assert await old(b"one") == b"one"
        await proxy.set("black hole")
        new = await connect(proxy)
        assert (await old(b"two"), await new(b"three")) == (b"nothing", b"nothing")
        await proxy.set("pass")
        assert (await old(b" "), await new(b" ")) == (b"two ", b"three ")


async def test_a_half_open_connection_is_silent_for_ever_and_a_new_one_works() -> None:
    async with echo() as proxy:
        old = await connect(proxy)
        assert await old(b"one") == b"one"
        await proxy.set("half-open")
        assert await old(b"two") == b"nothing"
        assert await (await connect(proxy))(b"three") == b"three"
        await proxy.set("pass")
        assert await old(b"four") == b"nothing"


async def test_the_brokers_address_becomes_the_proxys() -> None:
    async with echo(kafka=True) as proxy:
        ask = await connect(proxy)
        server = proxy._server_port
        body = b"\x0a127.0.0.1" + server.to_bytes(4) + b"rest"
        frame = len(body).to_bytes(4) + body
        assert await ask(frame) == frame.replace(server.to_bytes(4), proxy.port.to_bytes(4))


async def test_a_clock_jumps_and_comes_back(tmp_path: Path) -> None:
    made = library(tmp_path)
    if made is None:
        assert sys.platform != "linux" or not shutil.which("cc")
        return
    clock = Clock(made, tmp_path / "clock")
    asking = "import time, datetime\nwhile input(): print(time.time(), datetime.datetime.now().timestamp(), flush=True)"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        asking,
        env={**os.environ, **clock.env},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin and process.stdout
    for ahead_s in (0, 3600, -3600, 0):
        clock.set(ahead_s)
        process.stdin.write(b"now\n")
        said = [float(text) - time.time() for text in (await process.stdout.readline()).split()]
        assert said == [pytest.approx(ahead_s, abs=30)] * 2
    process.stdin.write(b"\n")
    assert await process.wait() == 0

"""The hot path, called as ASGI: framing, refusals, the record of each answer."""

import asyncio
import json
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import lightgbm as lgb
import msgspec
import numpy as np
import pytest
from fastapi import FastAPI

from shipway.bundle.trial import Trials
from shipway.contract import rows as protocol
from shipway.contract.events import HeldVersion
from shipway.contract.inference import Labels, decode_answer, encode_request
from shipway.contract.inferpaths import DEADLINE_HEADER, LENGTH_HEADER
from shipway.contract.predictionbatch import decode_batch
from shipway.contract.rows import Answer, Ask, Frames, frame, read_answer
from shipway.contract.signature import Feature, Signature
from shipway.predictor.held import Serving, Versions
from shipway.predictor.inference import InferenceApp
from shipway.predictor.loading import LoadedModel
from shipway.predictor.record import Recorder
from shipway.predictor.rowserver import RowServer
from shipway.predictor.scoring import INLINE_S, MOST_EXPLAINING, Scorer
from shipway.predictor.settings import LimitSettings
from shipway.predictor.sources import Sources
from shipway.predictor.threads import ScoringThreads
from shipway.runtime.objects import FolderStore
from shipway.runtime.prediction_sink import PredictionSink
from shipway.runtime.spool import Spool

URL = "/v2/models/m/versions/1/infer"
ROWS = np.random.default_rng(1).normal(size=(64, 5))
LABELS = (ROWS[:, 0] > 0).astype(float)
MODEL = str(
    lgb.train(
        {"objective": "binary", "verbose": -1, "min_data_in_leaf": 2}, lgb.Dataset(ROWS, LABELS), 3
    ).model_to_string()
).encode()


class World:
    """The hot path with one loaded version, and the log it writes."""

    def __init__(self, rules: dict[str, Any]) -> None:
        self.sent: list[Any] = []
        self.sink = PredictionSink(
            self._send, Spool(None, max_bytes=0, memory_bytes=10**8), source="test", instance="i"
        )
        versions = Versions(Sources(FolderStore(Path())), LimitSettings(rows=100), Trials(), {}, lambda: None)
        names = [Feature(name=f"f{i}", type="number") for i in range(5)]
        signature = Signature(features=names, output="binary", target="y", classes=["0", "1"])
        self.scorer = Scorer(MODEL, 5, 1, explaining=MOST_EXPLAINING / 10)
        held = HeldVersion(version=1, digest="d", role="champion", signature={}, prediction_log=rules)
        self.serving = Serving("m", LoadedModel("d", signature, self.scorer), held)
        versions.serving[("m", 1)] = self.serving
        recorder, threads = Recorder(self.sink, "i"), ScoringThreads()
        app = InferenceApp(versions, recorder, threads, FastAPI())
        self.rows = RowServer(versions, recorder, threads)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://predictor")

    async def _send(self, message: Any) -> None:
        self.sent.append(decode_batch(message.value))

    async def infer(self, rows: Any, url: str = URL, **headers: str) -> httpx.Response:
        ids = [f"id-{i}" for i in range(len(rows))]
        length, body = encode_request("r", Labels(prediction_ids=ids, role="candidate", generation=7), rows)
        return await self.http.post(url, content=body, headers={LENGTH_HEADER: str(length), **headers})


async def asked(world: World, *asks: Ask | bytes) -> tuple[list[Answer], bool]:
    """The answers on a connection of the rows protocol, and whether it is still open."""
    server = await asyncio.get_running_loop().create_server(world.rows.connected, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        frames = Frames(10**7)
        answers: list[Answer] = []
        for ask in asks:
            writer.write(ask if isinstance(ask, bytes) else frame(ask))
        async with asyncio.timeout(5):
            while len(answers) < len(asks) and (data := await reader.read(65536)):
                answers += [read_answer(body) for body in frames.feed(data)]
        is_open = not reader.at_eof()
        writer.close()
    return answers, is_open


def an_ask(rows: Any, **changes: Any) -> Ask:
    count = len(rows)
    plain = Ask(
        id=5,
        model="m",
        version=1,
        role="candidate",
        generation=7,
        budget_ms=5000,
        rows=count,
        prediction_ids=bytes(range(16)) * count,
        trace_ids=b"t" * 16 * count,
        client_ids=[f"c{i}" for i in range(count)],
        values=np.ascontiguousarray(rows).tobytes(),
    )
    return msgspec.structs.replace(plain, **changes)


@pytest.mark.parametrize("count", [1, 64])
async def test_a_shadow_is_held_against_the_scores_beside_it(count: int) -> None:
    world = World({})
    sent = ROWS[:count]
    beside = world.scorer.score(sent) + 0.125
    whole = an_ask(sent, role="shadow", beside=beside.tobytes())
    answers, _ = await asked(world, whole, an_ask(sent, role="shadow", beside=b"short"), an_ask(sent))
    assert [answer.status for answer in answers] == [200] * 3
    assert (world.serving.answered, world.serving.compared) == (3 * count, count)
    assert world.serving.distance_sum == pytest.approx(0.125 * count)
    await world.sink.close()
    assert [r["role"] for r in world.sent[0].to_pylist()].count("shadow") == 2 * count


async def test_an_answer_that_is_too_late_counts_as_slow_and_neither_as_answered_nor_as_failed() -> None:
    world = World({})
    [late], _ = await asked(world, an_ask(ROWS[:1], budget_ms=0))
    assert late.status == 504
    assert (world.serving.answered, world.serving.errors, sum(world.serving.latency)) == (0, 0, 1)


@pytest.mark.parametrize("count", [1, 64, 100])
async def test_the_rows_protocol_gives_the_scores_and_puts_them_on_record(count: int) -> None:
    world = World({"redact": ["f1"]})
    sent = np.tile(ROWS, (2, 1))[:count]
    [answer], _ = await asked(world, an_ask(sent))
    assert (answer.id, answer.status, answer.outputs) == (5, 200, 1)
    scores = np.frombuffer(answer.scores).reshape(count, 1)
    np.testing.assert_array_equal(scores, world.scorer.score(np.ascontiguousarray(sent)))
    await world.sink.close()
    rows = world.sent[0].to_pylist()
    said = [(r["prediction_id"], r["trace_id"], r["client_id"], r["role"], r["generation"]) for r in rows]
    assert said == [(bytes(range(16)).hex(), (b"t" * 16).hex(), f"c{i}", "candidate", 7) for i in range(count)]
    assert rows[0]["scores"] == scores[0].tolist()
    assert np.isnan(rows[0]["features"][1]) and rows[0]["features"][2] == ROWS[0, 2]


async def test_contributions_come_after_the_scores_and_are_not_logged() -> None:
    world = World({})
    wanted = world.scorer.explained(np.ascontiguousarray(ROWS[:3]))
    [answer], _ = await asked(world, an_ask(ROWS[:3], explain=True))
    assert (answer.status, answer.outputs) == (200, 7)
    np.testing.assert_array_equal(np.frombuffer(answer.scores).reshape(3, 7), wanted)
    tensor = {"name": "rows", "datatype": "FP64", "shape": [3, 5], "data": ROWS[:3].tolist()}
    told = (await world.http.post(URL, json={"inputs": [tensor], "parameters": {"explain": True}})).json()["outputs"]
    contributions = {t["name"]: t for t in told}["contributions"]
    assert contributions["shape"] == [3, 1, 6]
    np.testing.assert_array_equal(contributions["data"], wanted[:, 1:].ravel())
    [too_much], _ = await asked(world, an_ask(ROWS[:11], explain=True))
    assert too_much.status == 413 and "10 rows" in too_much.detail
    tensor |= {"shape": [11, 5], "data": ROWS[:11].tolist()}
    refused = await world.http.post(URL, json={"inputs": [tensor], "parameters": {"explain": True}})
    assert refused.status_code == 422 and "10 rows" in refused.json()["detail"]
    await world.sink.close()
    assert [len(r["scores"]) for batch in world.sent for r in batch.to_pylist()] == [1] * 6


async def test_the_rows_protocol_says_why_not() -> None:
    world = World({})
    answers, _ = await asked(
        world,
        an_ask(ROWS[:1], version=2),
        an_ask(ROWS[:1], values=b"1234567"),
        an_ask(np.zeros((101, 5))),
        an_ask(ROWS[:1]),
    )
    assert [a.status for a in answers] == [404, 422, 422, 200]
    world.scorer.close()
    [answer], _ = await asked(world, an_ask(ROWS[:1]))
    assert (answer.status, world.serving.errors) == (500, 1)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xff\xff\xff",
        b"\x01\x00\x00\x00\xc1",
        frame(an_ask(ROWS[:2], prediction_ids=b"")),
        b"GET / HTTP/1.1\n",
    ],
)
async def test_what_is_no_frame_ends_the_connection_and_nothing_else(garbage: bytes) -> None:
    world = World({})
    answers, is_open = await asked(world, garbage)
    assert (answers, is_open) == ([], False)
    assert (await asked(world, an_ask(ROWS[:1])))[0][0].status == 200


@pytest.mark.parametrize("count", [1, 64])
async def test_scores_come_back_and_are_on_record(count: int) -> None:
    world = World({"sample": 1.0, "redact": ["f1"]})
    response = await world.infer(ROWS[:count])
    scores = decode_answer(response.content, response.headers[LENGTH_HEADER], rows=count, outputs=1)
    np.testing.assert_array_equal(scores, world.scorer.score(np.ascontiguousarray(ROWS[:count])))
    await world.sink.close()
    (batch,) = world.sent
    rows = batch.to_pylist()
    assert [r["prediction_id"] for r in rows] == [f"id-{i}" for i in range(count)]
    assert {(r["model"], r["version"], r["generation"], r["role"], r["outcome"]) for r in rows} == {
        ("m", 1, 7, "candidate", "answered")
    }
    assert rows[0]["scores"] == scores[0].tolist()
    assert np.isnan(rows[0]["features"][1]) and rows[0]["features"][2] == ROWS[0, 2]
    assert world.serving.answered == count


async def test_a_row_outside_the_sample_is_counted_without_features() -> None:
    world = World({"sample": 0.0})
    await world.infer(ROWS[:2])
    await world.sink.close()
    assert [r["features"] for r in world.sent[0].to_pylist()] == [None, None]


async def test_json_tensors_do_as_well() -> None:
    world = World({})
    tensor = {"name": "rows", "datatype": "FP64", "shape": [2, 5], "data": ROWS[1:3].tolist()}
    answer = (await world.http.post(URL, json={"inputs": [tensor]})).json()
    assert answer["outputs"][0]["shape"] == [2, 1]
    np.testing.assert_array_equal(answer["outputs"][0]["data"], world.scorer.score(ROWS[1:3])[:, 0])


@pytest.mark.parametrize(
    ("body", "headers", "status", "words"),
    [
        (b"", {}, 422, "body"),
        (b"{}", {}, 422, "inputs"),
        (b"[" * 100_000, {}, 422, "body"),
        (b"{}", {LENGTH_HEADER: "99"}, 422, LENGTH_HEADER),
        (b"{}", {LENGTH_HEADER: "-1"}, 422, LENGTH_HEADER),
        (
            json.dumps({"inputs": [{"name": "rows", "datatype": "FP64", "shape": [1, 4], "data": [1] * 4}]}).encode(),
            {},
            422,
            "shape",
        ),
        (
            json.dumps({"inputs": [{"name": "rows", "datatype": "FP64", "shape": [1, 5], "data": ["x"] * 5}]}).encode(),
            {},
            422,
            "data",
        ),
        (
            json.dumps({"inputs": [{"name": "rows", "datatype": "FP64", "shape": [10**9, 5]}]}).encode(),
            {},
            422,
            "shape",
        ),
        (json.dumps({"inputs": [{"name": "rows", "datatype": "FP64", "shape": [1, 5]}]}).encode(), {}, 422, "binary"),
    ],
)
async def test_what_is_no_request_is_refused_with_the_field(
    body: bytes, headers: dict[str, str], status: int, words: str
) -> None:
    world = World({})
    response = await world.http.post(URL, content=body, headers=headers)
    assert response.status_code == status
    assert words in response.json()["detail"]
    await world.sink.close()
    assert world.sent == []


async def test_what_is_not_held_and_what_is_too_late_is_not_executed() -> None:
    world = World({})
    for url in ("/v2/models/m/versions/2/infer", "/v2/models/x/versions/1/infer", "/v2/models/m/versions/x/infer"):
        response = await world.infer(ROWS[:1], url)
        assert (response.status_code, response.json()["code"]) == (404, "version-not-loaded")
    assert (await world.infer(ROWS[:1], **{DEADLINE_HEADER: "0"})).status_code == 504
    assert world.serving.answered == 0


async def test_a_model_that_is_being_unloaded_fails_loudly() -> None:
    world = World({})
    await asyncio.to_thread(world.scorer.close)
    assert (await world.infer(ROWS[:1])).status_code == 500
    assert world.serving.errors == 1


class Slow(Scorer):
    """The model, each of whose calls waits until it is let go, and takes two milliseconds a row then."""

    def __init__(self) -> None:
        super().__init__(MODEL, 5, 1)
        self.free = threading.Event()
        self.free.set()
        self.begun = 0

    def _score(self, rows: Any) -> Any:
        self.begun += 1
        assert self.free.wait(10)
        threading.Event().wait(2 * INLINE_S * len(rows))
        return super()._score(rows)


async def test_a_slow_model_keeps_the_event_loop_from_nobody_once_it_is_known_for_slow() -> None:
    world, slow = World({}), Slow()
    world.serving.loaded = LoadedModel("d", world.serving.loaded.signature, slow)
    assert slow.is_quick(64)
    await asked(world, an_ask(ROWS[:1]))
    assert not slow.is_quick(1)
    slow.free.clear()
    asking = asyncio.create_task(asked(world, an_ask(ROWS[:1]), an_ask(ROWS[:1])))
    async with asyncio.timeout(5):
        while slow.begun < 3:
            await asyncio.sleep(0.005)
    assert not asking.done()
    slow.free.set()
    answers, _ = await asking
    assert [answer.status for answer in answers] == [protocol.OK, protocol.OK]


@pytest.mark.parametrize("by", ["rows protocol", "HTTP"])
async def test_many_rows_of_a_model_known_for_slow_are_scored_by_two_threads(by: str) -> None:
    world, slow = World({}), Slow()
    world.serving.loaded = LoadedModel("d", world.serving.loaded.signature, slow)
    await asked(world, an_ask(ROWS[:1]))
    slow.free.clear()
    sent = ROWS[:31]
    asking = asyncio.create_task(asked(world, an_ask(sent)) if by == "rows protocol" else world.infer(sent))
    async with asyncio.timeout(5):
        while slow.begun < 3:
            await asyncio.sleep(0.005)
    slow.free.set()
    await asking
    await world.sink.close()
    scores = [row["scores"] for table in world.sent for row in table.to_pylist()]
    assert scores == [*world.scorer.score(ROWS[:1]).tolist(), *world.scorer.score(sent).tolist()]


async def test_what_is_late_before_its_turn_is_not_scored() -> None:
    world, slow = World({}), Slow()
    world.serving.loaded = LoadedModel("d", world.serving.loaded.signature, slow)
    slow.free.clear()
    (answer,), _ = await asked(world, an_ask(np.tile(ROWS, (2, 1))[:100], budget_ms=0))
    assert answer.status == protocol.LATE


async def test_a_shadow_that_takes_longer_than_a_client_waits_has_failed_and_one_that_had_to_wait_has_not() -> None:
    world, slow = World({}), Slow()
    world.serving.loaded = LoadedModel("d", world.serving.loaded.signature, slow)
    slow.free.clear()
    asking = asyncio.create_task(asked(world, an_ask(ROWS[:2], role="shadow", budget_ms=500)))
    async with asyncio.timeout(5):
        while slow.begun < 1:
            await asyncio.sleep(0.005)
    begun = time.perf_counter()
    while time.perf_counter() - begun < 0.51:
        await asyncio.sleep(0.01)
    slow.free.set()
    [late], _ = await asking
    assert (late.status, world.serving.errors) == (protocol.LATE, 2)
    slow.free.clear()
    asking = asyncio.create_task(
        asked(world, an_ask(ROWS[:2], role="shadow"), an_ask(ROWS[:2], role="shadow", budget_ms=1))
    )
    async with asyncio.timeout(5):
        while slow.begun < 2:
            await asyncio.sleep(0.005)
    slow.free.set()
    answers, _ = await asking
    assert sorted(answer.status for answer in answers) == [protocol.OK, protocol.LATE]
    assert (world.serving.errors, slow.begun) == (2, 2), "the second was late before it was scored"

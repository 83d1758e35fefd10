"""What each step of a request costs gateway and predictor, in CPU µs: the least of many, in one process, no network."""

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import targets
from model import FEATURES, make_rows

from shipway.bundle.capi import use_one_thread
from shipway.contract import rows as protocol
from shipway.contract.inference import decode_request, encode_answer
from shipway.contract.predictionbatch import encode_batch
from shipway.contract.predictionlog import AnsweredRows
from shipway.contract.predictrequest import PlainRequests
from shipway.contract.rowencoding import RowEncoder
from shipway.contract.signature import Feature, Signature
from shipway.gateway.rendering import Rendering
from shipway.predictor.scoring import Scorer
from shipway.runtime.batchfile import Batch, read_batch, write_batch
from shipway.runtime.prediction_ids import as_text, new_ids

ROWS = (1, 32, 1000)
TIMES = 200
BATCH_ROWS = 2000
SIGNATURE = Signature(
    features=[Feature(name=name, type="number") for name in FEATURES],
    output="binary",
    target="y",
    classes=["false", "true"],
)


def main() -> None:
    """Prints the table."""
    use_one_thread()
    scorer = Scorer(_model(), len(FEATURES), 1)
    with tempfile.TemporaryDirectory(prefix="shipway-bench-") as name:
        found = {count: _steps(count, scorer, Path(name) / "0.batch") for count in ROWS}
    print("| CPU µs, rows a request | " + " | ".join(f"{count:,}" for count in ROWS) + " |")
    print("|---|" + "---:|" * len(ROWS))
    for step in found[ROWS[0]]:
        print(f"| {step} | " + " | ".join(f"{found[count][step]:,.1f}" for count in ROWS) + " |")


def _steps(count: int, scorer: Scorer, file: Path) -> Mapping[str, float]:
    rows = make_rows(count)
    named, split = json.dumps(targets.named(rows)).encode(), json.dumps(targets.split(rows)).encode()
    tensor = targets.tensor(rows)
    flat = json.dumps(tensor).encode()
    nested = json.dumps({"inputs": [tensor["inputs"][0] | {"data": rows}]}).encode()
    plain, encoder, rendering = PlainRequests(SIGNATURE), RowEncoder(SIGNATURE), Rendering("bench", 1, SIGNATURE)
    frames = protocol.Frames(10**9)

    def read(body: bytes) -> bytes | None:
        request = plain.read(body)
        assert request is not None
        return plain.numbers(request.rows or request.data or [], request.columns)

    def asked() -> bytes:
        ids = new_ids(count)
        as_text(ids)
        ask = protocol.Ask(1, "bench", 1, "champion", 1, 1000, count, ids, bytes(16) * count, None, values)
        return protocol.frame(ask)

    def taken() -> Any:
        (body,) = frames.feed(frame)
        ask = protocol.read_ask(body)
        return ask, protocol.matrix(ask, len(FEATURES))

    def answered() -> Any:
        (body,) = frames.feed(protocol.frame(protocol.Answer(1, protocol.OK, "", 1, scores.tobytes())))
        return protocol.as_rows(protocol.read_answer(body).scores, 1)

    def logged() -> None:
        message = encode_batch(parts, "bench", "predictor-1")
        write_batch(file, Batch(message.key, message.value, message.headers, [], 0))
        read_batch(file)

    values = read(named) or b""
    frame = asked()
    ask, matrix = taken()
    scores = scorer.score(matrix)
    told, ids = answered(), as_text(new_ids(count))
    request = decode_request(flat, None, encoder, max_rows=count)
    parts = [
        AnsweredRows(
            prediction_ids=new_ids(count),
            trace_ids=ask.trace_ids,
            client_ids=None,
            at=datetime.now(UTC),
            model="bench",
            version=1,
            generation=1,
            instance="predictor-1",
            role="champion",
            latency_us=number,
            features=matrix,
            sampled=None,
            scores=scores,
        )
        for number in range(BATCH_ROWS // count)
    ]
    return {
        "gateway: reading, rows with their names": _least(lambda: read(named)),
        "gateway: reading, columns named once": _least(lambda: read(split)),
        "gateway: ids and the ask": _least(asked),
        "predictor: taking the ask": _least(taken),
        "predictor: scoring": _least(lambda: scorer.score(matrix)),
        "both: the scores on their way back": _least(answered),
        "gateway: rendering": _least(lambda: rendering.answer(ids, told)),
        "predictor: the log's batch, and its file": _least(logged, TIMES // 10) / len(parts),
        "`/v2`: reading, flat numbers": _least(lambda: decode_request(flat, None, encoder, max_rows=count)),
        "`/v2`: reading, nested numbers": _least(lambda: decode_request(nested, None, encoder, max_rows=count)),
        "`/v2`: rendering": _least(lambda: encode_answer("bench", 1, request, SIGNATURE, scores, ids)),
    }


def _least(call: Callable[[], object], times: int = TIMES) -> float:
    """What other work on the machine adds is in most of them, and hardly in all."""
    found = []
    for _ in range(times):
        begun = time.thread_time_ns()
        call()
        found.append(time.thread_time_ns() - begun)
    return min(found) / 1000


def _model() -> bytes:
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(14_400, len(FEATURES)))
    signal = rows[:, 0] + rows[:, 1] * rows[:, 2] + 0.5 * np.sin(3 * rows[:, 3]) + 0.3 * rng.normal(size=len(rows))
    params = {"objective": "binary", "num_leaves": 31, "min_data_in_leaf": 20, "num_threads": 1, "verbose": -1}
    return str(lgb.train(params, lgb.Dataset(rows, signal > 0), 100).model_to_string()).encode()


if __name__ == "__main__":
    main()

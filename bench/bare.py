"""The yardstick: the least that can answer over HTTP with uvicorn and LightGBM's single-row C API."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from shipway.predictor.scoring import Scorer

SCORER = Scorer(Path(os.environ["MODEL_FILE"]).read_bytes(), 20, 1)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The ASGI application."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    rows = np.array(json.loads(body)["rows"]) if body else np.empty((0, 20))
    answer = json.dumps({"scores": SCORER.score(rows)[:, 0].tolist()}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})

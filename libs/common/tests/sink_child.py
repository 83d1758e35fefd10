"""A process that answers predictions while the broker is away, until it is killed; it writes a byte before each."""

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from shipway.contract.envelope import WireMessage
from shipway.contract.errors import Transient
from shipway.contract.predictionlog import PredictionRecord
from shipway.runtime.prediction_sink import PredictionSink
from shipway.runtime.spool import Spool


async def main(root: Path, model: str) -> None:
    """Runs for ever."""

    async def send(_message: WireMessage) -> None:
        raise Transient("away")

    spool = Spool(root, max_bytes=10**9, memory_bytes=10**9)
    sink = PredictionSink(send, spool, source="s", instance="i", batch_rows=100)
    running = asyncio.create_task(sink.run())
    number = 0
    while not running.done():
        os.write(2, b".")
        at = datetime.now(UTC)
        one = PredictionRecord(
            f"p{number}", at, model, 1, 1, "i", "champion", "answered", None, 5, None, None, [1.0], [0.5]
        )
        sink.put(one)
        number += 1
        await asyncio.sleep(0)


asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))

"""What benchmarks of the monitor share: its database on the embedded stack, and predictions for its history."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from pydantic import SecretStr

from shipway.contract.predictionlog import PredictionRecord
from shipway.embedded.stack import prepare
from shipway.embedded.supervisor import Supervisor
from shipway.runtime.database import Database
from shipway.runtime.migrations import migrate
from shipway.runtime.settings import DatabaseSettings

MODEL = "bench"


@asynccontextmanager
async def monitor_database(folder: Path) -> AsyncIterator[tuple[Database, Supervisor]]:
    """The monitor's database, migrated, and the stack that it is of; the monitor is for the benchmark to play."""
    plan = prepare(folder, services=["evaluator"], usual_ports={}, durable=False)
    async with Supervisor(plan) as supervisor:
        await supervisor.wait_ready()
        url = next(p.env["SHIPWAY__DATABASE__URL"] for p in plan.processes if "SHIPWAY__DATABASE__URL" in p.env)
        database = Database(DatabaseSettings(url=SecretStr(url)), "monitor")
        await migrate(database, "shipway.monitor")
        yield database, supervisor
        await database.close()


def answered(prediction_id: str, at: datetime, features: list[float], score: float, trace_id: str) -> PredictionRecord:
    """A prediction of version 1 that somebody got for an answer."""
    return PredictionRecord(
        prediction_id=prediction_id,
        at=at,
        model=MODEL,
        version=1,
        generation=1,
        instance="predictor-1",
        role="champion",
        outcome="answered",
        reason=None,
        latency_us=120,
        client_id=None,
        trace_id=trace_id,
        features=features,
        scores=[score],
    )

"""A DAG for Airflow 3 that asks for a training once the day's data is there.

Put it and request_training.py into the folder of DAGs, with confluent-kafka where tasks run.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import dag, task


@dag(schedule="30 2 * * 1-5", start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False, tags=["shipway"])
def train_flights() -> None:
    """Add what loads the data before it."""

    @task(retries=5, retry_delay=timedelta(minutes=1))
    def ask(**context: Any) -> str:
        from request_training import request_training

        # A run that is tried again asks for the same training.
        return request_training("flights", f"airflow-{context['run_id']}", "the night's data, by Airflow")

    ask()


train_flights()

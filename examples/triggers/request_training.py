"""Asks for a training with nothing of Shipway installed: ``python request_training.py MODEL [REQUEST_ID]``.

Needs confluent-kafka. The same REQUEST_ID again is the same request, so what is not sure that it asked may ask again.
"""

import json
import os
import sys
import uuid
from datetime import UTC, datetime

from confluent_kafka import KafkaException, Producer


def request_training(model: str, request_id: str = "", reason: str = "asked for by a program") -> str:
    """Publishes the request; gives its id once Kafka has it.

    Raises:
        KafkaException: Kafka does not take it, or not within ten seconds.
    """
    request_id = request_id or uuid.uuid4().hex
    headers = {
        "ce_specversion": "1.0",
        "ce_id": request_id,
        "ce_source": "com.example/request_training",
        "ce_type": "shipway.TrainingRequested.v1",
        "ce_time": datetime.now(UTC).isoformat(),
        "content-type": "application/json",
    }
    value = json.dumps({"model": model, "request_id": request_id, "reason": reason})
    failed: list[object] = ["no answer within 10 s"]
    kafka = os.environ.get("SHIPWAY__KAFKA__BOOTSTRAP", "127.0.0.1:9094")
    producer = Producer({"bootstrap.servers": kafka, "acks": "all"})
    producer.produce(
        "shipway.training-requests",
        value,
        model,
        headers=list(headers.items()),
        on_delivery=lambda error, _message: failed.__setitem__(0, error),
    )
    producer.flush(10)
    if failed[0] is not None:
        raise KafkaException(f"{kafka}: {failed[0]}")
    return request_id


if __name__ == "__main__":
    print(request_training(*sys.argv[1:3]))

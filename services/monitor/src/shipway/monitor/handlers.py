"""One event, one transaction: the history and what it changes."""

from aiokafka import ConsumerRecord

from shipway.contract import events as e
from shipway.contract.envelope import Envelope
from shipway.contract.errors import InvalidField
from shipway.contract.predictionlog import decode_batch
from shipway.contract.spec import parse_spec
from shipway.contract.topics import PREDICTION_LOG, consumed_by
from shipway.monitor import store
from shipway.monitor.views import request_change, version_change
from shipway.runtime.consumer import Handler, RawHandler
from shipway.runtime.database import Transaction


async def on_event(tx: Transaction, payload: e.Event, event: Envelope) -> None:
    """Any event of a model: into the history and the views."""
    await store.record(tx, event)
    if (of_request := request_change(payload)) is not None:
        await store.change_request(tx, payload.model, of_request, event.time)
    if (of_version := version_change(payload)) is not None:
        if isinstance(payload, e.ReleasePromoted | e.ReleaseRolledBack):
            await store.change_champion(tx, payload.model, payload, event.time)
        await store.change_version(tx, payload.model, of_version, event.time)


async def on_declared(tx: Transaction, payload: e.ModelDeclared, event: Envelope) -> None:
    """A declaration: retirement and service levels follow the newest."""
    spec = parse_spec(payload.spec)
    if spec.name != payload.model:
        raise InvalidField("spec.name", f"is {spec.name!r}, but the event is about {payload.model!r}")
    await store.record(tx, event)
    await store.declare(tx, payload.model, payload.spec, event.time)


async def on_feedback(tx: Transaction, payload: e.FeedbackReceived, _event: Envelope) -> None:
    """A label."""
    await store.add_label(tx, payload)


async def on_predictions(tx: Transaction, record: ConsumerRecord) -> None:
    """A batch of the prediction log."""
    await store.add_usage(tx, decode_batch(record.value))


def handlers() -> dict[type[e.Payload], Handler]:
    """A handler for every type of event on the topics that the monitor consumes."""
    found: dict[type[e.Payload], Handler] = {kind: on_event for topic in consumed_by("monitor") for kind in topic.types}
    return found | {e.ModelDeclared: on_declared, e.FeedbackReceived: on_feedback}


RAW: dict[str, RawHandler] = {PREDICTION_LOG.name: on_predictions}

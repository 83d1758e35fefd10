"""One event, one transaction: the history and what it changes."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
from aiokafka import ConsumerRecord

from shipway.contract import events as e
from shipway.contract.arrowbounds import Bounds
from shipway.contract.envelope import Envelope
from shipway.contract.errors import InvalidField, Permanent
from shipway.contract.predictionbatch import BOUNDS, decode_batch
from shipway.contract.spec import NAME, parse_spec
from shipway.contract.topics import OPERATOR_COMMANDS, PREDICTION_LOG, consumed_by
from shipway.monitor import forgetstore, labels, ledger, letters, metrics, naming, staging, store, windows
from shipway.monitor.labelling import Label, observed
from shipway.monitor.learning import KnownBins
from shipway.monitor.phases import marks
from shipway.monitor.summary import summarise
from shipway.monitor.views import request_change, version_change
from shipway.runtime.database import Transaction
from shipway.runtime.handling import Handler, RawHandler


async def on_event(tx: Transaction, payload: e.Event, event: Envelope) -> None:
    """Any event of a model: into the history and the views."""
    if not await store.record(tx, event):
        return
    await ledger.mark(tx, payload.model, marks(payload), event.time)
    if isinstance(payload, e.ModelApproved):
        await naming.keep_signature(tx, payload)
    if (of_request := request_change(payload)) is not None:
        await store.change_request(tx, payload.model, of_request, event.time)
    if (of_version := version_change(payload)) is not None:
        newest = False
        if isinstance(payload, e.ReleasePromoted | e.ReleaseRolledBack):
            place = (await store.stand(tx, payload.model)).places[payload.version]
            known = of_version.columns if place.generation == payload.generation else {"digest": payload.digest}
            of_version = replace(of_version, state=None, columns=known)
        elif isinstance(payload, e.ReleaseProgressed):
            # The releaser's events are in order by generation also when its clock was set back in between.
            newest = await store.is_newest(tx, payload)
        await store.change_version(tx, payload.model, of_version, event.time, event.traceparent, newest=newest)


async def on_declared(tx: Transaction, payload: e.ModelDeclared, event: Envelope) -> None:
    """A declaration: retirement and service levels follow the newest."""
    spec = parse_spec(payload.spec)
    if spec.name != payload.model:
        raise InvalidField("spec.name", f"is {spec.name!r}, but the event is about {payload.model!r}")
    await store.record(tx, event)
    await store.declare(tx, payload.model, payload.spec, event.time)


async def on_forget_requested(tx: Transaction, payload: e.SubjectForgetRequested, _event: Envelope) -> None:
    """A subject's records are to go. The command is not in the history of events, which would keep the subject's name.

    Raises:
        InvalidField: it is no command that could be obeyed.
    """
    if not NAME.fullmatch(payload.model):
        raise InvalidField("model", "must be lower-case letters, digits and dashes, starting with a letter")
    for field, text, least, most in (
        ("command_id", payload.command_id, 1, 200),
        ("subject", payload.subject, 1, 200),
        ("reason", payload.reason, 0, 1000),
        ("requested_by", payload.requested_by, 1, 200),
    ):
        if not least <= len(text) <= most or not text.isprintable():
            raise InvalidField(field, f"must be {least} to {most} printable characters")
    await forgetstore.take(tx, payload)


async def on_feedback(tx: Transaction, payload: e.FeedbackReceived, _event: Envelope) -> None:
    """A label."""
    await _take(tx, payload.model, [payload])


async def on_labels(tx: Transaction, payload: e.LabelsReceived, _event: Envelope) -> None:
    """Labels."""
    await _take(tx, payload.model, payload.labels)


async def _take(tx: Transaction, model: str, came: Sequence[e.FeedbackReceived | e.Label]) -> None:
    now = datetime.now(UTC)
    await labels.take(
        tx, model, [Label(model, one.prediction_id, one.label, observed(one.observed_at, now)) for one in came]
    )
    metrics.LABELS.labels("received").inc(len(came))


async def on_predictions(
    tx: Transaction,
    records: Sequence[ConsumerRecord],
    *,
    room: staging.Room,
    known: KnownBins,
    bounds: Bounds = BOUNDS,
) -> None:
    """Batches of the prediction log: counted, and staged for the history where there is room.

    What a shadow answered is in the history only: nobody asked for it.

    Raises:
        Permanent: one is not such a batch, or together they are more than one may be.
    """
    batch = _together(records, bounds)
    outcomes = {row["values"]: row["counts"] for row in pc.value_counts(batch["outcome"]).to_pylist()}
    if unknown := set(outcomes) - {"answered", "refused", "failed"}:
        raise Permanent(f"outcome: {min(unknown)[:100]!r} is not answered, refused or failed")
    asked = batch.filter(pc.not_equal(pc.fill_null(batch["role"], ""), "shadow"))
    bins = await known.of(tx, _versions_of(asked))
    await room.check(tx)
    left_out = await staging.stage(tx, batch)
    await store.add_usage(tx, asked)
    summaries = summarise(asked, lambda model, version: bins.get((model, version)), datetime.now(UTC))
    await windows.add_parts(tx, summaries)
    metrics.HISTORY_LEFT_OUT.inc(left_out)
    for outcome, count in outcomes.items():
        metrics.LOGGED.labels(outcome).inc(count)
    if batch.num_rows:
        behind_s = (datetime.now(UTC) - pc.max(batch["at"]).as_py()).total_seconds()
        metrics.BEHIND_SECONDS.set(max(0.0, behind_s))


def _together(records: Sequence[ConsumerRecord], bounds: Bounds) -> pa.Table:
    """The predictions of all the batches."""
    batches: list[pa.Table] = []
    for record in records:
        batches.append(decode_batch(record.value, bounds))
        if len(batches) > 1 and sum(batch.nbytes for batch in batches) > bounds.bytes:
            raise Permanent(f"batches of more than {bounds.bytes} bytes together")
    return pa.concat_tables(batches).combine_chunks() if len(batches) > 1 else batches[0]


def _versions_of(batch: pa.Table) -> set[tuple[str, int]]:
    pairs = batch.select(["model", "version"]).group_by(["model", "version"], use_threads=False).aggregate([])
    return {(pair["model"], pair["version"]) for pair in pairs.to_pylist() if pair["version"] is not None}


def handlers(approved: Callable[[], None] = lambda: None) -> dict[type[e.Payload], Handler]:
    """A handler for every type of event that the monitor consumes; of commands for its own, and what pages show.

    ``approved`` is called in the transaction of an approval.
    """

    async def on_approved(tx: Transaction, payload: e.ModelApproved, event: Envelope) -> None:
        await on_event(tx, payload, event)
        approved()

    told = [topic for topic in consumed_by("monitor") if topic is not OPERATOR_COMMANDS]
    found: dict[type[e.Payload], Handler] = {kind: on_event for topic in told for kind in topic.types}
    own: dict[type[e.Payload], Handler] = {
        e.ModelDeclared: on_declared,
        e.ModelApproved: on_approved,
        e.FeedbackReceived: on_feedback,
        e.LabelsReceived: on_labels,
        e.DeadLettered: letters.on_dead_letter,
        e.SubjectForgetRequested: on_forget_requested,
        e.ReplayRequested: on_event,
    }
    return found | own


def raw_handlers(bounds: Bounds, staging_bytes: int) -> dict[str, RawHandler]:
    """What handles whole messages, by topic."""
    return {
        PREDICTION_LOG.name: partial(on_predictions, room=staging.Room(staging_bytes), known=KnownBins(), bounds=bounds)
    }

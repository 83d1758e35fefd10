"""What is refused, and how: undecodable and mangled events, undeclared models, hostile model files, repeats."""

import asyncio
import re

import pytest
from world import T0, World, eventually, features_of, make_rows

from shipway.bundle.manifest import Windows
from shipway.bundle.store import Bundle, read_bundle, write_bundle
from shipway.contract import events as e
from shipway.contract import topics

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_undecodable_event_is_a_dead_letter_and_the_next_is_handled(shipway_world: World) -> None:
    await shipway_world.declare("after-garbage")
    async with shipway_world.producer() as producer:
        for value, headers in (
            (b"\xff\xfe", []),
            (
                b"{",
                [
                    ("ce_id", b"x"),
                    ("ce_source", b"s"),
                    ("ce_type", b"shipway.TrainingRequested.v1"),
                    ("ce_time", b"2026-01-01T00:00:00Z"),
                ],
            ),
            (b"{}", [("ce_type", b"\xff\xfe")]),
            (None, []),
        ):
            await producer.send(topics.TRAINING_REQUESTS.name, b"after-garbage", value, headers)
    journey = await shipway_world.train("after-garbage")
    assert journey.succeeded, journey

    async def lettered() -> bool:
        letters = shipway_world.recorder.payloads(
            e.DeadLettered, service="trainer", topic=topics.TRAINING_REQUESTS.name
        )
        return len(letters) >= 4 and all(letter.reason for letter in letters)

    await eventually(lettered, "four dead letters with reasons")


async def test_a_request_for_an_undeclared_model_fails_with_the_remedy(shipway_world: World) -> None:
    journey = await shipway_world.train("nobody-declared-me")
    assert journey.state == "failed"
    assert "declare" in journey.reason


async def test_a_model_without_enough_data_fails_with_the_reason(shipway_world: World) -> None:
    await shipway_world.declare("empty")
    journey = await shipway_world.train("empty", until=T0)
    assert journey.state == "failed"
    assert re.search(r"rows", journey.reason), journey.reason


async def test_the_same_request_twice_is_one_training(shipway_world: World) -> None:
    await shipway_world.declare("twice")
    request = e.TrainingRequested(model="twice", request_id="twice-1")
    await asyncio.gather(*(shipway_world.publish(request, event_id=f"id-{i % 2}") for i in range(6)))
    await shipway_world.event(e.ReleasePromoted, within_s=120, model="twice", version=1)
    # Every event of the way comes once more, as it was: nothing new may come of it.
    chain = (e.TrainingCompleted, e.ModelApproved, e.ReleasePromoted)
    records = [r for r in shipway_world.recorder.records if r.key == b"twice" and r.value is not None]
    async with shipway_world.producer() as producer:
        for record in records:
            await producer.send(record.topic, record.key, record.value, list(record.headers))
    await shipway_world.publish(e.TrainingRequested(model="twice", request_id="twice-2"))
    await shipway_world.event(e.ReleasePromoted, within_s=120, model="twice", version=2)
    for kind in chain:
        assert len(shipway_world.recorder.payloads(kind, model="twice")) == 2, kind


def cyclic(model: bytes) -> bytes:
    """The model with its first tree's root pointing to itself."""
    return re.sub(rb"left_child=-?\d+", b"left_child=0", model, count=1)


def truncated(model: bytes) -> bytes:
    """The first half of the model."""
    return model[: len(model) // 2]


async def test_hostile_model_files_are_rejected_and_harm_nobody(shipway_world: World) -> None:
    name = "hostile"
    await shipway_world.declare(name)
    assert (await shipway_world.train(name)).succeeded
    good = shipway_world.recorder.payloads(e.TrainingCompleted, model=name)[0]
    store = shipway_world.store
    bundle = read_bundle(store, good.digest)
    for version, harm in ((2, cyclic), (4, truncated)):
        harmed = harm(bundle.model_text)
        assert harmed != bundle.model_text
        await _offered(shipway_world, good, version, dict(bundle.files) | {"model.txt": harmed}, bundle)
    row = features_of(make_rows("binary", 1)[0])
    assert (await shipway_world.shipway.predict(name, [row])).version == 1
    assert all(not shipway_world.supervisor.restarts(p) for p in ("predictor-1", "predictor-2"))


async def _offered(
    world: World, good: e.TrainingCompleted, version: int, files: dict[str, bytes], bundle: Bundle
) -> None:
    """Offers a bundle as a version that was trained and, refused, as the next that was approved."""
    name = good.model
    windows = Windows(good.train_from, good.train_to, good.holdout_from, good.holdout_to)
    written = write_bundle(
        world.store,
        files,
        model=name,
        library_versions=bundle.manifest.library_versions,
        windows=windows,
    )
    forged = e.TrainingCompleted(
        model=name,
        request_id=f"forged-{version}",
        version=version,
        digest=written.digest,
        bundle_bytes=written.total_bytes,
        training_rows=good.training_rows,
        set_aside_rows={},
        train_from=good.train_from,
        train_to=good.train_to,
        holdout_from=good.holdout_from,
        holdout_to=good.holdout_to,
        metrics={},
        duration_s=1.0,
    )
    await world.publish(forged)
    rejected = await world.event(e.ModelRejected, within_s=120, model=name, version=version)
    assert "model" in rejected.reason
    # Even an approval, forged too, gets it no further than the predictors' own checks.
    approved = world.recorder.payloads(e.ModelApproved, model=name)[0]
    await world.publish(
        e.ModelApproved(
            **{f: getattr(approved, f) for f in approved.__struct_fields__}
            | {"version": version + 1, "digest": written.digest}
        )
    )
    back = await world.event(e.ReleaseRolledBack, within_s=120, model=name, version=version + 1)
    assert back.reason


async def test_the_harms_are_harmful() -> None:
    assert cyclic(b"left_child=1 -2") == b"left_child=0 -2"
    assert truncated(b"1234") == b"12"

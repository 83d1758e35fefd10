"""Bundles that are removed: never one that is needed or may come back, and once, whatever is killed in between."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa

from services.releaser.tests.test_rollouts import START, World, approval, digest
from shipway.contract import events as e
from shipway.releaser.remover import Remover
from shipway.releaser.tables import versions
from shipway.runtime.database import Database
from shipway.runtime.objects import FolderStore

HOUR = timedelta(hours=1)
KEPT: dict[str, Any] = {
    "retirement": {"max_age": "30d", "unused_for": "1d", "remove_bundles_after": "2h"},
    "release": {"canary": []},
}


class Killed(BaseException):
    """The process ends here."""


class Store(FolderStore):
    """A folder; the process dies at the ``dies_at``-th deletion, before it, or at the look for what is there."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.dies_at: int | None = None

    def list(self, prefix: str) -> list[str]:
        self._live()
        return super().list(prefix)

    def delete(self, key: str) -> None:
        self._live()
        super().delete(key)

    def _live(self) -> None:
        if self.dies_at is not None:
            self.dies_at -= 1
            if self.dies_at < 0:
                raise Killed


@pytest.fixture
async def world(open_database: Callable[[str], Awaitable[Database]]) -> World:
    return World(await open_database("releaser"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def remover(world: World, store: Store) -> Remover:
    return Remover(cast(Any, world), store, clock=lambda: world.now)


async def promoted(world: World, store: Store, *numbers: int, **changes: Any) -> None:
    """Each of these versions is promoted in turn, and has a bundle of four files."""
    for number in numbers:
        for name in ("model.txt", "spec.json", "golden.parquet", "manifest.json"):
            store.put(f"bundles/{digest(number)}/{name}", b"x")
        await world.hears(approval(number, **(KEPT | changes)))
        world.says("p", *range(1, number + 1))
        await world.rollouts.step()


async def retired(world: World, number: int) -> None:
    await world.hears(e.ModelRetired(model="flights", version=number, policy="age-and-unused", reason="old"))
    await world.rollouts.step()
    world.now += timedelta(seconds=5)
    world.says("p", 1, 2, 3)
    await world.rollouts.step()


async def ordered(world: World, action: Any, version: int) -> e.CommandAnswered:
    await world.hears(
        e.OperatorCommand(model="flights", command_id=f"{action}-{version}", action=action, version=version)
    )
    world.says("p", 1, 2, 3)
    await world.rollouts.step()
    return [x.payload for x in await world.outbox() if isinstance(x.payload, e.CommandAnswered)][-1]


async def test_a_bundle_goes_so_long_after_its_version_and_is_told_once(world: World, store: Store) -> None:
    await promoted(world, store, 1, 2, 3)
    await retired(world, 1)
    world.now += 2 * HOUR - timedelta(minutes=1)
    await remover(world, store).step()
    assert len(store.list(f"bundles/{digest(1)}/")) == 4, "it could be restored still"
    world.now += timedelta(minutes=1)
    for _ in range(2):
        await remover(world, store).step()
    assert store.list(f"bundles/{digest(1)}/") == []
    assert len(store.list("bundles/")) == 8, "2 and 3 are needed"
    told = [x.payload for x in await world.outbox() if isinstance(x.payload, e.BundleRemoved)]
    assert [(x.version, x.digest) for x in told] == [(1, digest(1))]
    answer = await ordered(world, "restore", 1)
    assert not answer.done
    assert answer.answer == "the bundle of version 1 was removed after its retirement: train it anew"


async def test_what_is_needed_or_may_come_back_keeps_its_bundle(world: World, store: Store) -> None:
    """The champion, the last good one, one on standby, one that is restored, and where nothing is said of removal."""
    await promoted(world, store, 1, 2, 3)
    await retired(world, 2)  # the last good one: it stays
    await retired(world, 1)
    assert (await ordered(world, "restore", 1)).done
    world.now += 1000 * HOUR
    await remover(world, store).step()
    assert len(store.list("bundles/")) == 12


async def test_without_a_rule_a_bundle_is_kept_for_ever(world: World, store: Store) -> None:
    await promoted(world, store, 1, 2, 3, retirement={})
    await retired(world, 1)
    world.now += 10_000 * HOUR
    await remover(world, store).step()
    assert len(store.list("bundles/")) == 12


async def test_an_order_that_waits_and_a_bundle_that_another_version_has_keep_it(world: World, store: Store) -> None:
    await promoted(world, store, 1, 2, 3)
    await retired(world, 1)
    world.now += 3 * HOUR
    await world.hears(e.OperatorCommand(model="flights", command_id="c", action="restore", version=1))
    await remover(world, store).step()
    assert len(store.list("bundles/")) == 12, "it is to come back"
    world.says("p", 2, 3)
    await world.rollouts.step()
    assert 1 in [v.version for v in (await world.desired()).versions]

    await world.hears(approval(7, model="taxis", digest=digest(9), **KEPT))
    await world.hears(approval(9, **KEPT))
    async with world.database.begin() as tx:
        nine = versions.c.digest == digest(9)
        gone = {"role": "gone", "retiring": "old", "gone_at": START}
        await tx.execute(sa.update(versions).where(nine, versions.c.model == "flights").values(gone))
    store.put(f"bundles/{digest(9)}/model.txt", b"x")
    await remover(world, store).step()
    assert store.list(f"bundles/{digest(9)}/"), "the other model has it"


@pytest.mark.parametrize("dies_at", range(5))
async def test_whatever_it_is_killed_in_the_next_one_goes_on(world: World, store: Store, dies_at: int) -> None:
    """Before anything is gone, and after each file: it is never restored half, and told once in the end."""
    await promoted(world, store, 1, 2, 3)
    await retired(world, 1)
    world.now += 2 * HOUR
    store.dies_at = dies_at
    with pytest.raises(Killed):
        await remover(world, store).step()
    store.dies_at = None
    assert not (await ordered(world, "restore", 1)).done
    if dies_at > 1:
        assert f"bundles/{digest(1)}/manifest.json" not in store.list("bundles/"), "what is left is no bundle"
    await remover(world, store).step()
    assert store.list(f"bundles/{digest(1)}/") == []
    assert (await world.told()).count("BundleRemoved") == 1


async def test_two_removers_tell_once_and_a_locked_model_is_left_for_later(world: World, store: Store) -> None:
    await promoted(world, store, 1, 2, 3)
    await retired(world, 1)
    world.now += 2 * HOUR
    async with world.database.begin() as tx:
        await tx.execute(sa.text("select 1 from models for update"))
        async with asyncio.timeout(10):
            await remover(world, store).step()
    assert len(store.list("bundles/")) == 12
    await asyncio.gather(remover(world, store).step(), remover(world, store).step())
    assert (await world.told()).count("BundleRemoved") == 1

"""The demo's story on the flights: train, serve, train again under traffic, swap, and account for every request."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from shipway.cli.output import bad, console, good, line, strong, table
from shipway.cli.traffic import Counts, Traffic, rows_after
from shipway.cli.train import show_journey
from shipway.client import AsyncShipway, Journey, ShipwayError
from shipway.contract.spec import ModelSpec

FIRST_UNTIL = datetime(2013, 4, 1, tzinfo=UTC)
SECOND_UNTIL = datetime(2013, 7, 1, tzinfo=UTC)
ROWS = 3000
ACCOUNTED_WITHIN_S = 20.0


@dataclass(frozen=True)
class Account:
    """What the services say of the predictions: by version, and what they dropped from the log."""

    logged: dict[int, int]
    dropped: int


async def tell(
    shipway: AsyncShipway,
    spec: ModelSpec,
    data: Path,
    *,
    per_second: float,
    started: float,
) -> bool:
    """Tells the story; True if it ended as it should: no request failed, both versions served, all accounted for.

    ``started`` is when the demo began (time.monotonic), ``data`` the folder of the flights.
    """
    console.rule(strong("1. Declare the model"), align="left")
    dropped_before = await _dropped(shipway)
    await shipway.declare(spec)
    console.print(line("declared ", strong(spec.name), f": {spec.description}; {len(spec.features)} features"))

    console.rule(strong("2. A training request, on the first months"), align="left")
    first = await show_journey(shipway.train(spec.name, until=FIRST_UNTIL, reason="demo: the first months"))
    _must_serve(first)
    rows = await asyncio.to_thread(rows_after, data, spec, FIRST_UNTIL, ROWS)
    answer = await shipway.predict(spec.name, rows[:1])
    seconds = time.monotonic() - started
    console.print(
        line(
            good("first prediction"),
            f" {seconds:.0f} s after the start: late with probability {answer.predictions[0].probability:.2f},"
            f" by version {answer.version}",
        )
    )

    console.rule(strong("3. Live predictions, and a second training on newer data"), align="left")
    console.print(f"replaying the flights of April at {per_second:.0f} requests a second, one a request, no retries")
    traffic = Traffic(shipway.addresses.gateway, spec.name, rows, per_second, shipway.addresses.headers())
    sending = asyncio.create_task(traffic.run())
    try:
        second = await show_journey(shipway.train(spec.name, until=SECOND_UNTIL, reason="demo: newer data"))
        _must_serve(second)
        console.print("replaying the flights of July to the new version")
        traffic.replay(await asyncio.to_thread(rows_after, data, spec, SECOND_UNTIL, ROWS))
        await _answered_by(traffic.counts, second.version, at_least=100)
    finally:
        traffic.stop()
        await sending

    console.rule(strong("4. Every prediction accounted for"), align="left")
    asked_before = 1  # the first prediction
    answered = asked_before + sum(traffic.counts.answered.values())
    account = await _settled(shipway, spec.name, dropped_before, answered)
    return _close(spec.name, first, second, traffic.counts, account, asked_before)


def _must_serve(journey: Journey) -> None:
    if not journey.succeeded:
        raise ShipwayError(f"the story ends here: the training {journey.state}: {journey.reason}")


async def _answered_by(counts: Counts, version: int | None, at_least: int) -> None:
    assert version is not None, "a version that serves has a number"
    async with asyncio.timeout(30):
        while counts.answered[version] < at_least:
            await asyncio.sleep(0.05)


async def _settled(shipway: AsyncShipway, model: str, dropped_before: int, answered: int) -> Account:
    """The account, once the log has caught up with what was answered (or the time for that is over)."""
    deadline = time.monotonic() + ACCOUNTED_WITHIN_S
    while True:
        usage = await shipway.usage(model)
        logged = {int(v): int(u["answered"]) for v, u in usage["versions"].items() if u["answered"]}
        account = Account(logged, await _dropped(shipway) - dropped_before)
        if sum(logged.values()) + account.dropped >= answered or time.monotonic() > deadline:
            return account
        await asyncio.sleep(0.1)


async def _dropped(shipway: AsyncShipway) -> int:
    """What the instances say they could not log."""
    return sum(int(one["dropped"]) for one in (await shipway.status())["instances"])


def _close(model: str, first: Journey, second: Journey, counts: Counts, account: Account, asked_before: int) -> bool:
    answered = counts.answered.copy()
    assert first.version is not None and second.version is not None
    answered[first.version] += asked_before
    closing = table("", "predictions", ">sent", ">failed", ">answered", ">logged", ">dropped")
    for version in sorted(answered):
        closing.add_row(
            f"{model} version {version}", "", "", f"{answered[version]:,}", f"{account.logged.get(version, 0):,}", ""
        )
    total = sum(answered.values())
    logged = sum(account.logged.values())
    failed = bad(str(counts.failures)) if counts.failures else good("0")
    closing.add_row(
        "all",
        f"{counts.sent + asked_before:,}",
        failed,
        f"{total:,}",
        f"{logged:,}",
        f"{account.dropped:,}",
        style="bold",
    )
    console.print(closing)
    if counts.failures:
        console.print(line(bad("failed"), f": {dict(counts.failed)}"))
    whole = total == logged + account.dropped
    if not whole:
        console.print(bad(f"{total - logged - account.dropped} answers are not accounted for"))
    return not counts.failures and whole and counts.answered[first.version] > 0 and counts.answered[second.version] > 0

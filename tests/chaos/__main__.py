"""``make chaos``: breaks a running Shipway in every way of the table, under load, and holds it to its promises."""

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from chaos import report
from chaos.faults import FAULTS, Planned, plan
from chaos.scenario import Row, Scenario
from chaos.stand import stand

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "reliability.md"


def say(text: str) -> None:
    """Tells the user."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def run(
    planned: Sequence[Planned], budget_s: float, folder: Path, rng: random.Random, keep: Callable[[list[Row]], None]
) -> list[Row]:
    """The faults in their order, until the budget is used up (0: all of them); ``keep`` gets the rows so far."""
    begun = time.monotonic()
    rows: list[Row] = []
    async with stand(folder) as standing:
        scenario = Scenario(standing, rng)
        async with scenario.serving():
            say("\n".join(report.HEAD))
            for one in planned:
                if budget_s and time.monotonic() - begun > budget_s:
                    say(f"the budget of {budget_s:g} s is used up; BUDGET_S=0 runs all")
                    break
                if not scenario.possible(one):
                    say(f"{one.fault.name}: not possible on this machine")
                    continue
                rows.append(row := await scenario.run(one))
                say(report.line(row))
                keep(rows)
                for problem in [*(f"{v.kind}: {v.what}" for v in row.violations), *row.problems]:
                    say(f"    {problem}")
    return rows


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="decides order and moments")
    parser.add_argument("--budget-s", type=float, default=360.0, help="0: every fault, however long it takes")
    parser.add_argument("--only", default="", help="faults whose name contains this")
    parser.add_argument("--write", action="store_true", help="write the table into docs/reliability.md")
    parser.add_argument("--folder", type=Path, default=None, help="where the data and logs go, and stay")
    asked = parser.parse_args()
    wanted = [f for f in FAULTS if asked.only in f.name and (f.quick or not asked.budget_s or asked.only)]
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="shipway-chaos-"))
    say(f"seed {asked.seed}; logs in {folder}")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # ours meet the broken broker too

    def keep(rows: list[Row]) -> None:
        if asked.write:
            report.write(DOCUMENT, report.table(rows, asked.seed, today))

    today = f"{datetime.now(UTC):%Y-%m-%d}"
    rows = asyncio.run(run(plan(wanted, asked.seed), asked.budget_s, folder, random.Random(asked.seed), keep))
    made = report.table(rows, asked.seed, today)
    broken = [row.planned.fault.name for row in rows if row.violations or any("not within" in p for p in row.problems)]
    say(f"{made.splitlines()[0]} " + (f"Promises broken by: {', '.join(broken)}" if broken else "Every promise held."))
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()

"""How long the dashboard's pages take on a year of history: ``.venv/bin/python bench/dashboard_pages.py``.

Six models, one of them with three versions a day and 600 predictions a minute at noon, over 365 days: a row for each
minute and outcome, as the monitor keeps them. Each page is asked for over HTTP, as a signed-in person's browser would,
several times; what is said is the median and the slowest.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx
import sqlalchemy as sa
from monitored import monitor_database

from shipway.runtime.database import Database
from shipway.runtime.tokens import create

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from dashboard.served import dashboard, serving
from dashboard.yearly import fill, presence

PAGES = (
    "/dashboard",
    "/dashboard/models/fraud?span=3 h",
    "/dashboard/models/fraud?span=7 d",
    "/dashboard/models/fraud?span=90 d",
    "/dashboard/models/fraud?before=500",
    "/dashboard/models/fraud/versions/1000",
    "/dashboard/models/fraud/compare?a=1000&b=1090",
    "/dashboard/models/fraud/predictions",
    "/dashboard/jobs",
    "/dashboard/jobs?model=fraud&state=trained",
    "/dashboard/alerts",
    "/dashboard/events",
    "/dashboard/events?model=fraud&type=shipway.ReleasePromoted.v1",
    "/dashboard/instances",
    "/dashboard/dead-letters",
)


async def main() -> None:
    """Measures, and says what it found."""
    parser = argparse.ArgumentParser(prog="bench/dashboard_pages.py", description=__doc__)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--times", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shipway-bench-") as name:
        async with monitor_database(Path(name)) as (database, _):
            await _measure(database, Path(name), options.days, options.times)


async def _measure(database: Database, folder: Path, days: int, times: int) -> None:
    began = time.monotonic()
    told = await fill(database, days=days)
    async with database.begin() as tx:
        rows = {
            table: (await tx.execute(sa.text(f"select count(*) from {table}"))).scalar_one()
            for table in ("usage", "events", "versions", "quality")
        }
    counted = ", ".join(f"{number:,} rows of {table}" for table, number in rows.items())
    print(f"{days} days in {time.monotonic() - began:.0f} s: {counted}")
    token = create(folder / "tokens", "bench", ["read", "operate"])
    app = dashboard(database, folder, tokens=folder / "tokens", said=presence(told))
    async with serving(app) as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
        await client.post("/dashboard/sign-in", data={"token": token})
        print(f"| page | median | slowest of {times} | size |\n|---|---|---|---|")
        for page in PAGES:
            took = []
            for _ in range(times):
                start = time.perf_counter()
                answer = await client.get(page)
                took.append(1000 * (time.perf_counter() - start))
                assert answer.status_code == 200, answer.text[:500]
            median, slowest = statistics.median(took), max(took)
            print(f"| `{page}` | {median:.0f} ms | {slowest:.0f} ms | {len(answer.content) / 1000:.0f} kB |")


if __name__ == "__main__":
    asyncio.run(main())

"""The pages are true: the security page names tests that are there, the operations page's examples run."""

import json
import math
import re
import subprocess
import sys
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import duckdb
import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from docblocks import CODE, Guide, blocks, follow
from world import World, features_of, make_rows

from shipway.contract.predictionbatch import decode_batch, encode_batch
from shipway.contract.predictionlog import Outcome, PredictionRecord
from shipway.contract.signature import Feature, Signature
from shipway.contract.spec import parse_spec
from shipway.monitor.parquet import Naming, encode, named
from shipway.releaser.state import Role
from shipway.releaser.state import State as ReleaseState
from shipway.trainer.ownpython import rows_kept, rows_made
from shipway.trainer.training import State as TrainingState


@pytest.mark.asyncio(loop_scope="session")
async def test_the_published_documents_are_what_services_show(shipway_world: World, root: Path) -> None:
    urls = shipway_world.supervisor.state().service_urls
    async with httpx.AsyncClient(timeout=10) as client:
        for service, process in {
            "gateway": "gateway",
            "predictor": "predictor-1",
            "monitor": "monitor",
            "trainer": "trainer",
        }.items():
            shown = (await client.get(f"{urls[process]}/openapi.json")).json()
            assert shown == json.loads((root / "docs" / "openapi" / f"{service}.json").read_text()), service


def pages(root: Path) -> list[Path]:
    """What people read, without what is made from code."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def test_every_block_is_run_or_says_why_not(root: Path) -> None:
    tests = {file.name: file.read_text() for file in (root / "tests").rglob("test_*.py")}
    found = [block for page in pages(root) for block in blocks(page) if block.language in CODE]
    assert len(found) > 50
    for block in found:
        kinds = {"run", "file", "test", "not-run"} & set(block.marks)
        assert len(kinds) == 1, (
            f"{block}: marked by one of run, file=, test=, not-run= (tests/docblocks.py), not {kinds}"
        )
        if name := block.marks.get("test"):
            assert any(f'"{name}"' in text or f"test={name}" in text for text in tests.values()), block
        if "not-run" in kinds:
            reason = block.marks["not-run"]
            assert len(reason) > 10, f"{block}: {reason!r} is no reason"
            assert all((root / path).exists() for path in re.findall(r"\b[\w/-]+\.(?:py|md)\b", reason)), (
                f"{block}: {reason}"
            )


def test_the_model_files_of_the_pages_are_right(root: Path) -> None:
    guide = root / "docs" / "your-own-model.md"
    (whole,) = [tomllib.loads(b.text) for b in blocks(guide) if b.marks.get("file") == "houses.toml"]
    found = [block for page in pages(root) for block in blocks(page) if block.language == "toml"]
    assert len(found) > 10
    for block in found:
        part = tomllib.loads(block.text)
        spec = parse_spec(whole | {key: _over(whole.get(key), value) for key, value in part.items()})
        assert spec.name == part.get("name", whole["name"]), block


def _over(below: Any, above: Any) -> Any:
    return below | above if isinstance(below, dict) and isinstance(above, dict) else above


FOLLOWED = [
    "tour.md",
    "predictions.md",
    "operations.md",
    "security.md",
    *(f"how-to/{file.name}" for file in sorted((Path(__file__).parent.parent / "docs" / "how-to").glob("*.md"))),
]


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.timeout(180)
@pytest.mark.parametrize("page", FOLLOWED)
async def test_a_page_can_be_followed(
    shipway_world: World, guide: Guide, served: str, root: Path, tmp_path: Path, page: str
) -> None:
    row = features_of(make_rows("binary", 1, seed=4)[0])
    await shipway_world.shipway.predict(served, [row])  # somebody did before; the tour looks at it
    await follow(
        root / "docs" / page, shipway_world, tmp_path, {"flights": served, ".shipway/demo": str(shipway_world.folder)}
    )


def test_every_page_that_runs_is_followed(root: Path) -> None:
    runs = {str(p.relative_to(root / "docs")) for p in pages(root)[1:] if any("run" in b.marks for b in blocks(p))}
    assert runs <= {*FOLLOWED, "your-own-model.md"}


@pytest.mark.parametrize(
    ("name", "states"),
    [("trainer.training.State", TrainingState), ("releaser.state.State", ReleaseState), ("releaser.state.Role", Role)],
)
def test_the_drawings_have_the_states_of_the_code(root: Path, name: str, states: object) -> None:
    page = (root / "docs" / "concepts.md").read_text()
    drawing = page.partition(f"<!-- states: shipway.{name} -->")[2].partition("```\n\n")[0]
    drawn = re.findall(r"^  (\w+) -->", drawing, re.MULTILINE) + re.findall(r"--> (\w+)", drawing)
    assert set(drawn) == set(get_args(states))


def test_every_defence_names_a_test_that_is_there(root: Path) -> None:
    page = (root / "docs" / "security.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| **")]
    threats = [row for row in rows if row.count("|") == 4][1:]
    assert len(threats) > 20
    for row in threats:
        named = re.findall(r"`([^`]+)`", row.split("|")[3])
        assert named, row
        for name in named:
            assert name.startswith("make ") or (root / name).is_file(), f"{name} is not there: {row}"


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """The folder above a history of two days, of versions with different features."""
    size, town = (
        Feature(name="size_m2", type="number"),
        Feature(name="town", type="category", categories=["Ulm", "Bonn"]),
    )
    first = Naming(Signature(features=[size], output="regression", target="y"))
    second = Naming(Signature(features=[town, size], output="regression", target="y"))
    days: dict[str, list[tuple[int | None, Outcome, list[float] | None]]] = {
        "2026-03-01": [(1, "answered", [70.0]), (1, "answered", [90.0]), (1, "answered", None)],
        "2026-03-02": [(2, "answered", [1.0, math.nan]), (None, "refused", None)],
    }
    for day, rows in days.items():
        records = [_record(n, day, *row) for n, row in enumerate(rows)]
        table = named(decode_batch(encode_batch(records, "tests", "i").value), {1: first, 2: second})
        file = tmp_path / "history" / "houses" / day / "0.parquet"
        file.parent.mkdir(parents=True)
        file.write_bytes(encode(table).data)
    labels = tmp_path / "labels" / "houses" / "2026-03-01.parquet"
    labels.parent.mkdir(parents=True)
    pq.write_table(pa.table({"prediction_id": ["2026-03-01 1"], "label": [123.0]}), labels)
    return tmp_path


def _record(n: int, day: str, version: int | None, outcome: Outcome, features: list[float] | None) -> PredictionRecord:
    return PredictionRecord(
        prediction_id=f"{day} {n}",
        at=datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(hours=n),
        model="houses",
        version=version,
        generation=1,
        instance="i",
        role=None,
        outcome=outcome,
        reason=None,
        latency_us=100,
        client_id=None,
        trace_id=None,
        features=features,
        scores=None,
    )


@pytest.mark.parametrize("name", ["duckdb", "pandas", "labels"])
def test_the_examples_of_reading_the_history_run(root: Path, history: Path, name: str) -> None:
    page = (root / "docs" / "operations.md").read_text()
    (code,) = re.findall(rf"```python test={name}\n(.*?)```", page, re.DOTALL)
    ran = subprocess.run([sys.executable, "-c", code], cwd=history, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert {"duckdb": "80.0", "pandas": "Bonn", "labels": "123.0"}[name] in ran.stdout


def test_the_examples_of_own_python_run(root: Path) -> None:
    page = (root / "docs" / "own-python.md").read_text()
    code = [
        re.findall(rf"```python test={name}\n(.*?)```", page, re.DOTALL) for name in ("own-clean", "own-preprocess")
    ]
    own: dict[str, Any] = {}
    for (block,) in code:
        exec(block, own)  # the page's own code
    houses = pa.table({"size_m2": [70.0, 9000.0, 90.0], "town": ["Kiel", "Ulm", "Ulm"], "price": [1, 2, 3]})
    left = houses.filter(pa.array(rows_kept("clean.python", own["usable"], houses)))
    raw = tomllib.loads(next(b.text for b in blocks(root / "docs" / "your-own-model.md") if "[retirement]" in b.text))
    spec = parse_spec(raw | {"features": {"size_m2": {"type": "number"}, "town": {"type": "category"}}})
    assert rows_made("preprocess.python", own["weighed"], left, spec)["price"].to_pylist() == [1, 1, 3]


def test_duckdb_reads_versions_of_different_features_together(history: Path) -> None:
    source = f"read_parquet('{history}/history/houses/*/*.parquet', union_by_name = true)"
    columns = 'version, "feature.size_m2", "feature.town"'
    read = duckdb.connect().execute
    rows = read(f'select {columns} from {source} order by "at"').fetchall()
    assert rows == [(1, 70, None), (1, 90, None), (1, None, None), (2, None, "Bonn"), (None, None, None)]
    types = {name: kind for name, kind, *_ in read(f"describe select * from {source}").fetchall()}
    assert (types["at"], types["scores"]) == ("TIMESTAMP WITH TIME ZONE", "DOUBLE[]")

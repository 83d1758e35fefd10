"""What the command says of a model file beside the service's own checks: whether its data is on this machine."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from shipway.cli.models import app, missing_data, read_model_file

MODEL = """
name = "houses"
[data]
source = "folder:houses.parquet"
time_column = "sold_at"
train = "120d"
holdout = "14d"
[target]
column = "price"
kind = "regression"
[features]
size_m2 = { type = "number" }
[retirement]
max_age = "90d"
unused_for = "7d"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A model file beside data that is not there."""
    made = tmp_path / "houses.toml"
    made.write_text(MODEL)
    return made


def test_data_that_is_not_beside_the_file_is_named_and_no_mistake(file: Path) -> None:
    said = CliRunner().invoke(app, ["declare", str(file), "--check"])
    assert said.exit_code == 0, "it may be where the trainer runs"
    place = file.resolve().parent / "houses.parquet"
    expected = f"data.source: there is nothing at {place} on this machine; a training needs it where the trainer runs"
    assert missing_data(read_model_file(file)) == expected
    place.touch()
    assert missing_data(read_model_file(file)) is None


def test_data_elsewhere_is_nothing_to_look_for(file: Path) -> None:
    file.write_text(MODEL.replace("folder:houses.parquet", "objects:houses/"))
    assert missing_data(read_model_file(file)) is None
    file.write_text(MODEL.replace('"folder:houses.parquet"', '"history"\nbase = "folder:nowhere"'))
    said = missing_data(read_model_file(file))
    assert said is not None and said.startswith("data.base: there is nothing at")

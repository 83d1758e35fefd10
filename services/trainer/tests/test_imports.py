"""What the trainer's service does not import, so that it starts quickly and stays small: its children do."""

import subprocess
import sys


def test_the_service_does_without_lightgbm_and_pandas() -> None:
    looked = "import sys, shipway.trainer.app; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", looked], capture_output=True, text=True, check=True).stdout.split()
    assert "sqlalchemy" in loaded
    assert not {"lightgbm", "pandas", "scipy", "pyarrow", "numpy"} & set(loaded)


def test_the_child_does_without_pandas() -> None:
    looked = "import sys, shipway.trainer.child; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", looked], capture_output=True, text=True, check=True).stdout.split()
    assert "lightgbm" in loaded and "pandas" not in loaded

"""``python -m shipway.trainer``: runs the trainer; ``--stages get-data,clean`` has it take these stages only."""

import argparse
import os

from shipway.runtime.lifecycle import run_service
from shipway.trainer import app
from shipway.trainer.settings import TrainerSettings


def main() -> None:
    """Runs until SIGTERM."""
    parser = argparse.ArgumentParser(prog="shipway-trainer", description="Shipway's trainer.")
    parser.add_argument("--stages", help="stages that this trainer takes, comma-separated; default: all")
    stages: str | None = parser.parse_args().stages
    if stages is not None:
        os.environ["SHIPWAY_TRAINER__WORKER__STAGES"] = stages
    settings = TrainerSettings.load()
    run_service("trainer", settings, app.body(settings))


if __name__ == "__main__":
    main()

"""``python -m shipway.trainer``: runs the trainer."""

from shipway.runtime.lifecycle import run_service
from shipway.trainer import app
from shipway.trainer.settings import TrainerSettings


def main() -> None:
    """Runs until SIGTERM."""
    settings = TrainerSettings.load()
    run_service("trainer", settings, app.body(settings))


if __name__ == "__main__":
    main()

"""``python -m shipway.evaluator``: runs the evaluator."""

from shipway.evaluator import app
from shipway.evaluator.settings import EvaluatorSettings
from shipway.runtime.lifecycle import run_service


def main() -> None:
    """Runs until SIGTERM."""
    settings = EvaluatorSettings.load()
    run_service("evaluator", settings, app.body(settings))


if __name__ == "__main__":
    main()

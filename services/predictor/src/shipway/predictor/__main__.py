"""``python -m shipway.predictor``"""

from shipway.predictor.app import body
from shipway.predictor.settings import PredictorSettings
from shipway.runtime.lean import spare_pandas
from shipway.runtime.lifecycle import run_service


def main() -> None:
    """Runs the predictor until it is stopped."""
    settings = PredictorSettings.load()
    spare_pandas()
    run_service("predictor", settings, body(settings))


if __name__ == "__main__":
    main()

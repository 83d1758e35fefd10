"""``python -m shipway.predictor``"""

import sys

from shipway.bundle.capi import use_one_thread
from shipway.predictor.app import body
from shipway.predictor.settings import PredictorSettings
from shipway.runtime.lean import spare_pandas
from shipway.runtime.lifecycle import run_service

# Models are loaded in threads beside the event loop, which is not to wait 5 ms for each of its turns.
SWITCH_INTERVAL_S = 0.0005


def main() -> None:
    """Runs the predictor until it is stopped."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    settings = PredictorSettings.load()
    spare_pandas()
    use_one_thread()
    run_service("predictor", settings, body(settings))


if __name__ == "__main__":
    main()

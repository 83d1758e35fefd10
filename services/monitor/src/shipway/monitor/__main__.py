"""``python -m shipway.monitor``"""

from shipway.monitor.app import body
from shipway.monitor.settings import MonitorSettings
from shipway.runtime.lean import spare_pandas
from shipway.runtime.lifecycle import run_service


def main() -> None:
    """Runs the monitor until it is stopped."""
    settings = MonitorSettings.load()
    spare_pandas()
    run_service("monitor", settings, body(settings))


if __name__ == "__main__":
    main()

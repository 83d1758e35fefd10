"""``python -m shipway.gateway``"""

from shipway.gateway.app import body
from shipway.gateway.asking import starting
from shipway.gateway.settings import GatewaySettings
from shipway.runtime.lean import spare_pandas
from shipway.runtime.lifecycle import run_service, run_workers
from shipway.runtime.workers import begin_worker, worker


def main() -> None:
    """Runs the gateway until it is stopped, in one process or several."""
    settings = GatewaySettings.load()
    if worker() is not None:
        begin_worker()
    elif settings.workers > 1:
        run_workers("gateway", settings, "shipway.gateway", settings.workers, starting)
    spare_pandas()
    run_service("gateway", settings, body(settings))


if __name__ == "__main__":
    main()

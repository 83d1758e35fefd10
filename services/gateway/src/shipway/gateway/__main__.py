"""``python -m shipway.gateway``"""

from shipway.gateway.app import body
from shipway.gateway.settings import GatewaySettings
from shipway.runtime.lean import spare_pandas
from shipway.runtime.lifecycle import run_service


def main() -> None:
    """Runs the gateway until it is stopped."""
    settings = GatewaySettings.load()
    spare_pandas()
    run_service("gateway", settings, body(settings))


if __name__ == "__main__":
    main()

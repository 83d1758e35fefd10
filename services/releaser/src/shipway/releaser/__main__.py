"""Starts the releaser."""

from shipway.releaser.app import body
from shipway.releaser.settings import ReleaserSettings
from shipway.runtime.lifecycle import run_service


def main() -> None:
    """Runs the service until it is told to stop."""
    settings = ReleaserSettings.load()
    run_service("releaser", settings, body(settings))


if __name__ == "__main__":
    main()

"""Starts the releaser."""

from shipway.releaser import app
from shipway.releaser.settings import ReleaserSettings
from shipway.runtime.lifecycle import run_service


def main() -> None:
    """Runs the service until it is told to stop."""
    settings = ReleaserSettings.load()
    run_service("releaser", settings, app.body(settings))


if __name__ == "__main__":
    main()

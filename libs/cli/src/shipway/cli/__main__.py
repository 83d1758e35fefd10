"""``shipway`` on the command line."""

from shipway.cli.app import main

if __name__ == "__main__":
    main()

"""Runs the monitor's migrations."""

from shipway.runtime.migrations import run_migrations

run_migrations()

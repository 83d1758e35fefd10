"""Runs the releaser's migrations on the connection that the runtime hands over."""

from shipway.runtime.migrations import run_migrations

run_migrations()

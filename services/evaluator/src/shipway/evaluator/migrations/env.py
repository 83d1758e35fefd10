"""Alembic's entry: the revisions run on the connection that the service hands over."""

from shipway.runtime.migrations import run_migrations

run_migrations()

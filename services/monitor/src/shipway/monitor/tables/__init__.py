"""The monitor's tables, a module for each kind of what they hold."""

from shipway.monitor.tables.alerts import alerts, notices, retrainings, silences
from shipway.monitor.tables.base import metadata
from shipway.monitor.tables.dashboard import dashboard_sessions, dead_letters
from shipway.monitor.tables.history import forgettings, history_files, history_staged
from shipway.monitor.tables.labels import label_counts, label_files, labels, part_quality, quality, quality_totals
from shipway.monitor.tables.levels import level_counts, level_states, phases, sightings
from shipway.monitor.tables.models import events, models, requests, signatures, usage, versions
from shipway.monitor.tables.windows import (
    combination_days,
    findings,
    latencies,
    reference_bins,
    watch_states,
    window_parts,
    windows,
)

__all__ = [
    "alerts",
    "combination_days",
    "dashboard_sessions",
    "dead_letters",
    "events",
    "findings",
    "forgettings",
    "history_files",
    "history_staged",
    "label_counts",
    "label_files",
    "labels",
    "latencies",
    "level_counts",
    "level_states",
    "metadata",
    "models",
    "notices",
    "part_quality",
    "phases",
    "quality",
    "quality_totals",
    "reference_bins",
    "requests",
    "retrainings",
    "sightings",
    "signatures",
    "silences",
    "usage",
    "versions",
    "watch_states",
    "window_parts",
    "windows",
]

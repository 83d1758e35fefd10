"""The monitor's metrics."""

from prometheus_client import Counter, Gauge

LOGGED = Counter("shipway_log_records_total", "Records of the prediction log that were counted.", ["outcome"])
BEHIND_SECONDS = Gauge("shipway_log_behind_seconds", "How old the newest record of the latest batch was when counted.")

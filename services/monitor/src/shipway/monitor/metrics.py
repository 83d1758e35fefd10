"""The monitor's metrics."""

from prometheus_client import Counter, Gauge

LOGGED = Counter("shipway_log_records_total", "Records of the prediction log that were counted.", ["outcome"])
BEHIND_SECONDS = Gauge("shipway_log_behind_seconds", "How old the newest record of the latest batch was when counted.")
HISTORY_RECORDS = Counter("shipway_history_records_total", "Records that were put into the prediction history.")
HISTORY_FILES = Counter("shipway_history_files_total", "Files of the prediction history, by how they came.", ["made"])
HISTORY_FAILED = Counter("shipway_history_failed_total", "Times that a file of the prediction history was not made.")
HISTORY_LEFT_OUT = Counter("shipway_history_left_out_total", "Records of a name that no model can have.")
HISTORY_WAITING_BYTES = Gauge("shipway_history_waiting_bytes", "Records that wait in the database for their file.")
LABELS = Counter("shipway_labels_total", "Labels, by what became of them.", ["what"])
LABEL_FILES_SEARCHED = Counter(
    "shipway_label_files_searched_total", "History files that were read to find predictions."
)
WINDOWS_JUDGED = Counter("shipway_windows_judged_total", "Windows of a model's predictions that were judged.")
RETRAININGS = Counter("shipway_retrainings_total", "Trainings that alerts asked for, by their kind.", ["trigger"])
NOTICES = Counter(
    "shipway_alert_notices_total", "Notices of alerts, by target and whether it took them.", ["target", "how"]
)
BUDGET_LEFT = Gauge(
    "shipway_error_budget_left", "Share of a service level's error budget that is left, 1 at most.", ["model", "level"]
)
OVERDUE = Gauge("shipway_overdue", "Requests and versions of a model that take longer than their level.", ["model"])

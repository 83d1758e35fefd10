"""The account of predictions, as metrics: ``answered + inherited = logged + dropped + waiting``, at every moment."""

from prometheus_client import Counter, Gauge

ANSWERED = Counter("shipway_predictions_answered_total", "Predictions answered.", ["model", "version"])
LOGGED = Counter("shipway_predictions_logged_total", "Answered predictions that the log has.", ["model", "version"])
DROPPED = Counter("shipway_predictions_dropped_total", "Answered predictions that the log lacks.", ["model", "version"])
INHERITED = Counter(
    "shipway_predictions_inherited_total",
    "Predictions answered by earlier processes and not settled by them: answered + inherited = logged + dropped "
    "+ waiting.",
    ["model", "version"],
)
REFUSALS = Counter(
    "shipway_refusals_logged_total", "Refused or failed requests, by whether the log has them.", ["kept"]
)
WAITING = Gauge(
    "shipway_predictions_waiting", "Answered predictions that wait to be logged.", multiprocess_mode="livesum"
)
SPOOLED = Gauge(
    "shipway_prediction_log_spool_bytes",
    "Batches of records that wait for Kafka, on disk and in memory.",
    multiprocess_mode="livesum",
)

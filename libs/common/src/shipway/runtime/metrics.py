"""The metrics that every service has; a service's own are beside the code that counts them."""

from prometheus_client import Counter, Gauge

CONSUMED = Counter(
    "shipway_events_consumed_total", "Events taken from the broker, by what became of them.", ["type", "outcome"]
)
OUTBOX_PUBLISHED = Counter("shipway_outbox_published_total", "Events published from the outbox.")
BROKER_LOSSES = Counter("shipway_broker_losses_total", "Times the broker had lost acknowledged messages.")
DEAD_LETTERED = Counter("shipway_dead_letters_total", "Messages given to the dead letters.", ["topic"])
NEWER = Counter("shipway_newer_events_total", "Messages of a newer release's types, passed over.", ["topic"])
TABLE_RECORDS = Counter("shipway_table_records_total", "Records read into tables.", ["topic", "outcome"])
READY = Gauge("shipway_ready", "Whether the service can do its work (1) or not (0).", multiprocess_mode="livemin")

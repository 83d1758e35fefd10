"""Where the prediction history and its labels lie in the object store, and how their columns are called.

``history/<model>/<day>/<name>.parquet`` and ``labels/<model>/<day>.parquet``, by the UTC day of the prediction.
"""

from datetime import date

HISTORY = "history/"
LABELS = "labels/"
FEATURE = "feature."


def history_prefix(model: str) -> str:
    """What the keys of a model's history begin with."""
    return f"{HISTORY}{model}/"


def labels_prefix(model: str) -> str:
    """What the keys of a model's labels begin with."""
    return f"{LABELS}{model}/"


def history_key(model: str, day: date, name: str) -> str:
    """The key of a file of the history."""
    return f"{history_prefix(model)}{day:%Y-%m-%d}/{name}.parquet"


def labels_key(model: str, day: date) -> str:
    """The key of a day's labels."""
    return f"{labels_prefix(model)}{day:%Y-%m-%d}.parquet"


def day_of(key: str) -> date | None:
    """The day of a key of either kind; None where it is of neither."""
    parts = key.removesuffix(".parquet").split("/")
    try:
        return date.fromisoformat(parts[2]) if len(parts) in (3, 4) else None
    except ValueError:
        return None

"""Which time's rows a training takes, and which are set aside as its holdout. Pure."""

from datetime import datetime

from shipway.bundle.manifest import Windows
from shipway.contract.spec import ModelSpec, format_duration


def windows_of(spec: ModelSpec, until: datetime, as_of: datetime | None = None) -> Windows:
    """The windows of a training on the data before ``until``; training never sees the holdout."""
    holdout_from = until - spec.data.holdout
    train_to = holdout_from - spec.data.gap
    return Windows(train_to - spec.data.train, train_to, holdout_from, until, as_of)


def describe_window(spec: ModelSpec, windows: Windows) -> str:
    """The training window in words, for messages."""
    length, start, end = format_duration(spec.data.train), windows.train_from, windows.train_to
    return f"{length} from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}"

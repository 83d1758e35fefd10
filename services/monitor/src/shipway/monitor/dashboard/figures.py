"""Figures as people read them: counts, shares, durations, moments. Pure."""

from datetime import datetime, timedelta

NONE = "–"


def count(number: float | None) -> str:
    """12, 1,234, 56.7k, 8.9M."""
    if number is None:
        return NONE
    for least, unit in ((1e9, "G"), (1e6, "M"), (1e5, "k")):
        if abs(number) >= least:
            return f"{number / (1e3 if unit == 'k' else least):.3g}{unit}"
    return f"{number:,.0f}"


def share(part: float | None) -> str:
    """A share, 0 to 1, in percent: 12 %, 0.34 %."""
    if part is None:
        return NONE
    percent = 100 * part
    if percent == 0 or abs(percent) >= 99.95:
        return f"{percent:.0f} %"
    return f"{percent:.2g} %" if abs(percent) < 1 else f"{percent:.3g} %"


def figure(value: float | None) -> str:
    """Any figure, to four digits."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def per_second(rate: float | None) -> str:
    """A rate: 12.3/s."""
    return NONE if rate is None else f"{count(rate) if rate >= 100 else f'{rate:.3g}'}/s"


def latency(us: float | None) -> str:
    """Microseconds as µs, ms or s."""
    if us is None:
        return NONE
    for least, unit in ((1e6, "s"), (1e3, "ms")):
        if us >= least:
            return f"{us / least:.3g} {unit}"
    return f"{us:.3g} µs"


def span(lasts: timedelta) -> str:
    """How long, in its largest unit or two: 45 s, 12 min, 3 h, 5 d."""
    s = max(lasts.total_seconds(), 0)
    for least, unit, size in ((172_800, "d", 86_400), (7200, "h", 3600), (120, "min", 60)):
        if s >= least:
            return f"{s / size:.0f} {unit}"
    return f"{s:.0f} s"


def ago(at: datetime | None, now: datetime) -> str:
    """How long ago: "just now", "12 min ago"."""
    if at is None:
        return NONE
    passed = now - at
    return "just now" if passed < timedelta(seconds=5) else f"{span(passed)} ago"


def moment(at: datetime | None) -> str:
    """A moment to the minute, UTC."""
    return NONE if at is None else f"{at:%Y-%m-%d %H:%M}"


def size(number: float | None) -> str:
    """Bytes as kB, MB, GB."""
    if number is None:
        return NONE
    for least, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= least:
            return f"{number / least:.3g} {unit}"
    return f"{number:.0f} B"

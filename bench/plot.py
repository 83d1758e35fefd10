"""Grouped bars as an SVG, in shapes alone, so that any page shows it."""

from collections.abc import Mapping, Sequence
from html import escape

COLOURS = ("#1f6feb", "#54aeff", "#8c959f", "#cf222e", "#bf8700", "#8250df")
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 760, 340, 70, 40, 50


def bars(title: str, groups: Sequence[str], series: Mapping[str, Sequence[float]]) -> str:
    """A chart: ``series`` by name, a value for each of the groups."""
    top = max(max(values) for values in series.values()) * 1.1
    inner_width, inner_height = WIDTH - LEFT - 20, HEIGHT - TOP - BOTTOM
    wide = inner_width / len(groups)
    bar = wide * 0.8 / len(series)
    shapes = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="11"><rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 18, title, weight="bold"),
    ]
    for part in range(5):
        y = TOP + inner_height * (1 - part / 4)
        shapes.append(f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y:.1f}" y2="{y:.1f}" stroke="#d0d7de"/>')
        shapes.append(_text(LEFT - 6, y + 4, f"{top * part / 4:,.0f}", anchor="end"))
    for g, group in enumerate(groups):
        shapes.append(_text(LEFT + wide * (g + 0.5), HEIGHT - BOTTOM + 16, group, anchor="middle"))
        for s, values in enumerate(series.values()):
            high = inner_height * values[g] / top
            x = LEFT + wide * (g + 0.1) + bar * s
            shapes.append(
                f'<rect x="{x:.1f}" y="{TOP + inner_height - high:.1f}" width="{bar * 0.9:.1f}" height="{high:.1f}" '
                f'fill="{COLOURS[s % len(COLOURS)]}"/>'
            )
    at = float(LEFT)
    for s, name in enumerate(series):
        shapes.append(
            f'<rect x="{at:.0f}" y="{HEIGHT - 18}" width="10" height="10" fill="{COLOURS[s % len(COLOURS)]}"/>'
        )
        shapes.append(_text(at + 14, HEIGHT - 9, name))
        at += 34 + 6.5 * len(name)
    return "\n".join([*shapes, "</svg>", ""])


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" fill="#1f2328">{escape(text)}'
        "</text>"
    )

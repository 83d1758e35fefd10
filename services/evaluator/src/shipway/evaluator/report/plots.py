"""Small plots as SVG text: lines, bars, and differences with their intervals. Every name that comes in is escaped."""

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 420, 300
LEFT, RIGHT, TOP, BOTTOM = 72, 24, 28, 44
# What a page's style could say as well is said here, so that a plot can be taken out of its page.
AXIS = 'fill="none" stroke="currentColor"'
GUIDE = 'fill="none" stroke="currentColor" stroke-dasharray="4 4" opacity="0.5"'
COLOURS = ("#0b62a4", "#c2571a", "#3a7d44", "#7a4fa3")
Point = Sequence[float]
Range = tuple[float, float]


def lines(series: Mapping[str, Sequence[Point]], x: str, y: str, *, diagonal: bool = False, dots: bool = False) -> str:
    """Lines through points [x, y], one a name; ``diagonal`` draws where y is x, ``dots`` marks the points."""
    points = [p for line in series.values() for p in line]
    if not points:
        return ""
    across, up = _range([p[0] for p in points]), _range([p[1] for p in points])
    if diagonal:
        across = up = (min(across[0], up[0]), max(across[1], up[1]))
    parts = [_axes(across, up, x, y)]
    if diagonal:
        ends = " ".join(_place((v, v), across, up) for v in across)
        parts.append(f'<polyline points="{ends}" {GUIDE}/>')
    for i, line in enumerate(series.values()):
        colour = COLOURS[i % len(COLOURS)]
        path = " ".join(_place(p, across, up) for p in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if dots:
            for p in line:
                cx, cy = _place(p, across, up).split(",")
                parts.append(f'<circle cx="{cx}" cy="{cy}" r="3" fill="{colour}"/>')
    return _svg(parts, list(series))


def steps(edges: Sequence[float], shares: Mapping[str, Sequence[float]], x: str, y: str) -> str:
    """Histograms over the same edges, as outlines."""
    outlines = {
        name: [point for i, share in enumerate(of) for point in ((edges[i], share), (edges[i + 1], share))]
        for name, of in shares.items()
    }
    return lines(outlines, x, y)


def bars(values: Mapping[str, float]) -> str:
    """Horizontal bars, a name each, the longest first as they are given."""
    most = max(values.values(), default=0.0)
    if most <= 0:
        return ""
    rows = []
    for i, (name, value) in enumerate(values.items()):
        top, length = 6 + 20 * i, 200 * value / most
        rows.append(f'<text x="170" y="{top + 11}" text-anchor="end">{escape(_short(name))}</text>')
        rows.append(f'<rect x="178" y="{top}" width="{length:.1f}" height="13" fill="{COLOURS[0]}"/>')
        rows.append(f'<text x="{184 + length:.1f}" y="{top + 11}">{value:.3g}</text>')
    return _svg(rows, [], height=12 + 20 * len(values), width=460)


def intervals(rows: Sequence[tuple[str, float, float | None, float | None]], x: str, guide: float) -> str:
    """A dot with its interval for each (name, figure, low, high), and a line at ``guide`` to hold them against."""
    ends = [v for _, *of in rows for v in of if v is not None]
    if not ends:
        return ""
    low, high = _range([*ends, guide])
    height = 52 + 20 * len(rows)

    def at(value: float) -> float:
        return 180 + 260 * (value - low) / (high - low)

    parts = [f'<line x1="{at(guide):.1f}" y1="4" x2="{at(guide):.1f}" y2="{height - 42}" {GUIDE}/>']
    for i, (name, figure, begin, end) in enumerate(rows):
        y = 16 + 20 * i
        parts.append(f'<text x="170" y="{y + 4}" text-anchor="end">{escape(_short(name))}</text>')
        if begin is not None and end is not None:
            parts.append(f'<line x1="{at(begin):.1f}" y1="{y}" x2="{at(end):.1f}" y2="{y}" {AXIS}/>')
        parts.append(f'<circle cx="{at(figure):.1f}" cy="{y}" r="4" fill="{COLOURS[0]}"/>')
    parts += [
        f'<text x="{at(value):.1f}" y="{height - 24}" text-anchor="middle">{value:.4g}</text>'
        for value in (low, (low + high) / 2, high)
    ]
    parts.append(f'<text x="310" y="{height - 6}" text-anchor="middle">{escape(x)}</text>')
    return _svg(parts, [], height=height, width=460)


def _svg(parts: Sequence[str], names: Sequence[str], *, height: int = HEIGHT, width: int = WIDTH) -> str:
    legend = "".join(
        f'<rect x="{LEFT + 160 * i}" y="6" width="10" height="10" fill="{COLOURS[i % len(COLOURS)]}"/>'
        f'<text x="{LEFT + 16 + 160 * i}" y="15">{escape(_short(name))}</text>'
        for i, name in enumerate(names)
        if len(names) > 1
    )
    size = f'viewBox="0 0 {width} {height}" width="{width}" font-size="11" font-family="sans-serif"'
    return f'<svg {size} fill="currentColor" role="img">{"".join(parts)}{legend}</svg>'


def _axes(across: Range, up: Range, x: str, y: str) -> str:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [f'<path d="M{LEFT} {TOP}V{bottom}H{right}" {AXIS}/>']
    for i in range(5):
        share = i / 4
        here, there = across[0] + share * (across[1] - across[0]), up[0] + share * (up[1] - up[0])
        px, py = LEFT + share * (right - LEFT), bottom - share * (bottom - TOP)
        parts.append(f'<text x="{px:.1f}" y="{bottom + 16}" text-anchor="middle">{here:.4g}</text>')
        parts.append(f'<text x="{LEFT - 6}" y="{py + 4:.1f}" text-anchor="end">{there:.4g}</text>')
    parts.append(f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x)}</text>')
    middle = (TOP + bottom) / 2
    parts.append(f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">{escape(y)}</text>')
    return "".join(parts)


def _place(point: Point, across: Range, up: Range) -> str:
    x = LEFT + (WIDTH - RIGHT - LEFT) * (point[0] - across[0]) / (across[1] - across[0])
    y = HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (point[1] - up[0]) / (up[1] - up[0])
    return f"{x:.1f},{y:.1f}"


def _range(values: Sequence[float]) -> Range:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _short(name: str) -> str:
    return name if len(name) <= 28 else name[:27] + "…"

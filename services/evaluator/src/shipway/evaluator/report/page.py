"""The report as one HTML page that needs nothing else: no script, no font, no request. Every text in it is escaped."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from shipway.evaluator.report import plots

_STYLE = """
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:CanvasText}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.3rem .7rem .3rem 0;border-bottom:1px solid #8884;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.ok{color:#2c7a3f;font-weight:600}.bad{color:#c0392b;font-weight:600}.dim{opacity:.7}
code{overflow-wrap:anywhere}figure{display:inline-block;margin:.5rem 1rem .5rem 0;vertical-align:top}
figcaption{font-weight:600}
svg{max-width:100%;height:auto}
"""


def page(report: Mapping[str, Any]) -> str:
    """The page of a report as ``document`` gives it; parts that the report lacks are left out."""
    name = f"{report['model']} version {report['version']}"
    mark = '<span class="ok">approved</span>' if report["approved"] else '<span class="bad">rejected</span>'
    held = f"; held: {report['hold']}" if report.get("hold") else ""
    why = f"<p>{escape(report['reason'])}</p>" if report["reason"] else ""
    parts = [
        f"<h1>{escape(name)}: {mark}</h1>",
        f'<p class="dim">judged {escape(report["judged_at"][:19])} UTC{escape(held)}</p>',
        why,
        _section("Gates", _gates(report["gates"])),
        _section("Metrics on the holdout", _metrics(report)),
        _section("Plots", "".join(_figures(report))),
        _section("Slices", _slices(report.get("slices", []))),
        _section("Data", _data(report)),
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(name)}</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _section(title: str, content: str) -> str:
    return f"<h2>{escape(title)}</h2>{content}" if content else ""


def _gates(gates: Sequence[Mapping[str, Any]]) -> str:
    rows = (
        (
            f'<td class="{"ok" if gate["passed"] else "bad"}">{"passed" if gate["passed"] else "failed"}</td>',
            f"<td>{escape(gate['name'])}</td>",
            _number(gate["figure"]),
            _number(gate["limit"]),
            f"<td>{escape(gate['reason'])}</td>",
        )
        for gate in gates
    )
    return _table(("", "gate", ">figure", ">limit", "why"), rows)


def _metrics(report: Mapping[str, Any]) -> str:
    sides = [("this version", report["metrics"]), ("constant", report.get("constant_metrics", {}))]
    if report["champion_metrics"]:
        sides.insert(1, (f"champion {report['champion_version']}", report["champion_metrics"]))
    names = list(dict.fromkeys(name for _, of in sides for name in of))
    rows = ((f"<td>{escape(name)}</td>", *(_number(of.get(name)) for _, of in sides)) for name in names)
    return _table(("metric", *(f">{side}" for side, _ in sides)), rows) if names else ""


def _figures(report: Mapping[str, Any]) -> Iterable[str]:
    curves = report.get("curves", {})
    if roc := {side: points for side, points in curves.get("roc", {}).items() if points}:
        drawn = plots.lines(roc, "share of negatives named", "share of positives named", diagonal=True)
        yield _figure("ROC", drawn)
    if calibration := report.get("calibration"):
        points = [[b["predicted"], b["observed"]] for b in calibration["bins"]]
        yield _figure("Calibration", plots.lines({"": points}, "predicted", "observed", diagonal=True, dots=True))
    if scores := curves.get("scores"):
        named = {f"truly {name}": shares for name, shares in scores["shares"].items()}
        yield _figure("Scores by class", plots.steps(scores["edges"], named, "score", "share of rows"))
    if errors := curves.get("errors"):
        yield _figure("Errors", plots.steps(errors["edges"], errors["shares"], "predicted - true", "share of rows"))
    if queries := curves.get("queries"):
        drawn = plots.steps(queries["edges"], queries["shares"], "NDCG of a query", "share of queries")
        yield _figure("NDCG by query", drawn)
    if confusion := curves.get("confusion"):
        yield _figure("Confusion: truth by row, answer by column", _confusion(confusion))
    if stability := report.get("stability"):
        runs = [(f"quick training {i}", figure, None, None) for i, figure in enumerate(stability["figures"], 1)]
        own = report["metrics"].get(report.get("metric"), 0.0)
        drawn = plots.intervals(runs, f"{report.get('metric', 'figure')} (dashed: this version)", own)
        yield _figure("Stability: other seeds on other rows", drawn)
    if telling := report.get("single_features"):
        most = dict(sorted(telling.items(), key=lambda item: -item[1])[:20])
        yield _figure("What each feature tells alone (1: the whole target)", plots.bars(most))
    if gains := report.get("training", {}).get("importance_gain"):
        total = sum(gains.values()) or 1.0
        yield _figure("Share of the gain", plots.bars({n: g / total for n, g in list(gains.items())[:20]}))


def _figure(title: str, drawn: str) -> str:
    return f"<figure><figcaption>{escape(title)}</figcaption>{drawn}</figure>" if drawn else ""


def _confusion(confusion: Mapping[str, Any]) -> str:
    classes = confusion["classes"]
    rows = (
        (f"<td>{escape(name)}</td>", *(f'<td class="n">{count:,}</td>' for count in counts))
        for name, counts in zip(classes, confusion["counts"], strict=True)
    )
    return _table(("", *(f">{name}" for name in classes)), rows)


def _slices(slices: Sequence[Mapping[str, Any]]) -> str:
    if not slices:
        return ""
    compared = [
        (f"{s['column']}={s['value']}", s["better_by"]["figure"], s["better_by"]["low"], s["better_by"]["high"])
        for s in slices
        if s["better_by"] is not None
    ]
    rows = (
        (
            f"<td>{escape(s['column'])}</td><td>{escape(s['value'])}</td>",
            f'<td class="n">{s["rows"]:,}</td>',
            _number(s["figure"]),
            _number(s["against"]),
            _number(None if s["better_by"] is None else s["better_by"]["figure"]),
        )
        for s in slices
    )
    drawn = _figure("Better than the champion by", plots.intervals(compared[:40], "difference, with its interval", 0.0))
    return drawn + _table(("column", "value", ">rows", ">this version", ">champion", ">better by"), rows)


def _data(report: Mapping[str, Any]) -> str:
    data = report.get("data")
    if not data:
        return ""
    windows = (
        (
            f"<td>{escape(name)}</td><td>{escape(w['from'][:16])} to {escape(w['to'][:16])}</td>",
            f'<td class="n">{w["rows"]:,}</td><td class="n">{w["set_aside"]:,}</td>',
            f"<td><code>{escape(w['content'])}</code></td>",
        )
        for name, w in data["windows"].items()
    )
    files = (
        (
            f"<td><code>{escape(f['name'])}</code></td>",
            f'<td class="n">{f["bytes"]:,}</td>',
            f"<td><code>{escape(f['sha256'] or 'too large to hash')}</code></td>",
        )
        for f in data["files"]
    )
    return (
        f"<p>bundle <code>{escape(report['digest'])}</code>; source <code>{escape(data['source'])}</code></p>"
        + _table(("window", "", ">rows", ">set aside", "content (SHA-256 of the rows)"), windows)
        + _table(("file", ">bytes", "SHA-256"), files)
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = "".join(
        f'<th class="n">{escape(head[1:])}</th>' if head.startswith(">") else f"<th>{escape(head)}</th>"
        for head in heads
    )
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f"<table><tr>{cells}</tr>{body}</table>"


def _number(value: float | None) -> str:
    shown = "" if value is None else f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    return f'<td class="n">{shown}</td>'

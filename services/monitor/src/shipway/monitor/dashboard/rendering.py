"""Pages out of templates: every text is escaped, a name that is missing is an error, and no page lets a script in."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import resources
from typing import Any, get_args
from urllib.parse import quote

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse

from shipway.contract.spec import AlertKind
from shipway.monitor.dashboard import figures, wording
from shipway.monitor.dashboard.door import Visitor

_ROOM = resources.files("shipway.monitor.dashboard")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_STATIC = {
    "dashboard.css": "text/css",
    "dashboard.js": "text/javascript",
    "theme.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "vendor/htmx-2.0.11.min.js": "text/javascript",
    "vendor/idiomorph-0.8.0-ext.min.js": "text/javascript",
    "vendor/uplot-1.6.32.min.js": "text/javascript",
    "vendor/uplot-1.6.32.min.css": "text/css",
}


class Assets:
    """The files that pages are made of, by name, each with a mark of its content for caches."""

    def __init__(self) -> None:
        self._files = {
            name: (_ROOM.joinpath("static", *name.split("/")).read_bytes(), kind) for name, kind in _STATIC.items()
        }
        self._marks = {name: hashlib.sha256(data).hexdigest()[:12] for name, (data, _) in self._files.items()}

    def get(self, name: str) -> tuple[bytes, str] | None:
        """A file's content and type."""
        return self._files.get(name)

    def url(self, name: str) -> str:
        """Where a file is; another address once it has changed."""
        return f"/dashboard/static/{name}?v={self._marks[name]}"


class Pages:
    """Templates by name."""

    def __init__(self, *, commands: bool) -> None:
        self.assets = Assets()
        self._commands = commands
        self._environment = jinja2.Environment(
            loader=jinja2.FunctionLoader(_template),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "count": figures.count,
            "share": figures.share,
            "figure": figures.figure,
            "rate": figures.per_second,
            "latency": figures.latency,
            "moment": figures.moment,
            "size": figures.size,
            "short_name": wording.short_name,
            "part": lambda text: quote(str(text), safe=""),
        }
        self._environment.globals |= {"static": self.assets.url, "sentence": wording.sentence, "tone": wording.tone}
        self._environment.globals["alert_kinds"] = get_args(AlertKind)

    def page(self, request: Request, name: str, values: Mapping[str, Any], status: int = 200) -> HTMLResponse:
        """A template with these values, for this visitor."""
        now = datetime.now(UTC)
        visitor: Visitor = request.scope["shipway.visitor"]
        given = {
            "visitor": visitor,
            "operates": visitor.operates and self._commands,
            "here": request.url.path,
            "here_url": request.url.path + (f"?{request.url.query}" if request.url.query else ""),
            "now": now,
            "ago": lambda at: figures.ago(at, now),
            **values,
        }
        text = self._environment.get_template(name).render(given)
        return HTMLResponse(text, status, headers={"content-security-policy": POLICY})


def _template(name: str) -> str | None:
    place = _ROOM.joinpath("templates", name)
    return place.read_text(encoding="utf-8") if place.is_file() else None

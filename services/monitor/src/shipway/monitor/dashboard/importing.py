"""Models from elsewhere, by browser: files are sent one by one, and a command then names them by their hashes.

The trainer holds them against the model file, in a child process, as it does with those of ``shipway import``; what can
be told at a glance is told here, before anything is kept.
"""

import asyncio
import hashlib
import uuid
from typing import Annotated

import msgspec
from fastapi import FastAPI, Path, Request
from fastapi.responses import JSONResponse, Response

from shipway.bundle.uploads import FILES, key_of_upload
from shipway.contract.errors import InvalidField, Transient
from shipway.contract.signature import MAX_SIGNATURE_BYTES, parse_signature
from shipway.monitor.dashboard import wanted
from shipway.monitor.dashboard.desk import Desk, checked
from shipway.monitor.dashboard.pages import Name
from shipway.monitor.dashboard.parts import Parts
from shipway.runtime.http import Problem

PLACE = "/dashboard/imports/"
_BEGINS = {"model.txt": b"tree\n", "golden.parquet": b"PAR1"}
_WHAT = {"model.txt": "a model in LightGBM's text format (save_model)", "golden.parquet": "a Parquet file"}


def add_import_routes(app: FastAPI, parts: Parts) -> None:
    """Adds the routes. How large a file may be is the guard's to hold (DASHBOARD__IMPORT_BYTES)."""
    desk = Desk(parts)

    @app.put(PLACE + "{name}", include_in_schema=False)
    async def send(request: Request, name: Annotated[str, Path(max_length=100)]) -> Response:
        desk.visitor(request)
        data = await request.body()
        checked(lambda: check_file(name, data))
        digest = hashlib.sha256(data).hexdigest()
        try:
            await asyncio.to_thread(parts.objects.put, key_of_upload(digest), data)
        except Transient as err:
            raise Problem(503, str(err), retry_after_s=2) from err
        return JSONResponse({"sha256": digest})

    @app.post("/dashboard/models/{model}/import", include_in_schema=False)
    async def ask(request: Request, model: Name) -> Response:
        (by, form), request_id = await desk.asked(request), uuid.uuid4().hex
        payload = checked(lambda: wanted.importing(model, form, request_id=request_id, by=by))
        return await desk.send(request, model, payload, request_id, "request", "the import")


def check_file(name: str, data: bytes) -> None:
    """What can be told of a file at a glance.

    Raises:
        InvalidField: it is no such file.
    """
    if name == "signature.json":
        if len(data) > MAX_SIGNATURE_BYTES:
            raise InvalidField(name, f"has {len(data)} bytes; {MAX_SIGNATURE_BYTES} are allowed")
        try:
            parse_signature(msgspec.json.decode(data))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
            raise InvalidField(name, f"is no JSON: {err}") from err
    elif name not in _BEGINS:
        raise InvalidField("name", f"{name!r} is none of {', '.join(FILES)}")
    elif not data.startswith(_BEGINS[name]):
        raise InvalidField(name, f"is not {_WHAT[name]}")

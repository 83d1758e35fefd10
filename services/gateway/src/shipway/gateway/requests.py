"""Requests for predictions as JSON: read, and what is wrong with them said."""

import re
from typing import Any, TypeVar

import msgspec

from shipway.contract.errors import InvalidField
from shipway.contract.inferpaths import TIMEOUT_HEADER
from shipway.contract.predictrequest import PredictRequest
from shipway.contract.rowencoding import InvalidRows
from shipway.contract.splitrows import named_rows
from shipway.gateway.asked import Asked
from shipway.runtime.http import Problem

TIMEOUT = TIMEOUT_HEADER.encode()
_MAX_ID = 200
_FORMS = (
    'send {"rows": [{feature: value, ...}, ...]}, one {"row": {...}}, '
    'or {"columns": [feature, ...], "data": [[value, ...], ...]}'
)
_request = msgspec.json.Decoder(PredictRequest)
# How msgspec says what does not fit, and where.
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISFIT = re.compile(r"(.*) - at `\$\.?(.+)`", re.DOTALL)
R = TypeVar("R", bound=msgspec.Struct)


def parse_request(body: bytes) -> PredictRequest:
    """A request; see checked_rows.

    Raises:
        Problem: 400 no JSON, 422 not a request.
    """
    return decoded(_request, body)


def decoded(decoder: msgspec.json.Decoder[R], body: bytes) -> R:
    """What a body says.

    Raises:
        Problem: 400 no JSON, 422 with the field that is not known, or does not fit.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as err:
        said = str(err)
        if unknown := _UNKNOWN.fullmatch(said):
            known = ", ".join(decoder.type.__struct_encode_fields__)
            raise wrong(unknown[1][:100], f"is not a known field; known are {known}") from err
        misfit = _MISFIT.fullmatch(said)
        raise (wrong(misfit[2], misfit[1]) if misfit else wrong("body", said)) from err
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise Problem(400, f"the body is not JSON: {err}") from err


def checked_rows(request: PredictRequest, max_rows: int) -> tuple[list[Any], list[str] | None]:
    """The rows of a request that was read, as it has them, and the client's names for them; see ``named``.

    Raises:
        Problem: 422, there are none, too many, or names that do not fit them.
    """
    if (request.columns is None) != (request.data is None):
        raise wrong("columns", f"and data go together; {_FORMS}")
    if (request.rows is not None) + (request.row is not None) + (request.data is not None) != 1:
        raise wrong("rows", _FORMS)
    rows = request.rows or request.data or ([] if request.row is None else [request.row])
    if not 1 <= len(rows) <= max_rows:
        raise wrong("rows", f"has {len(rows)} rows; 1 to {max_rows} are allowed")
    ids = request.client_ids
    if ids is not None and (len(ids) != len(rows) or any(len(i) > _MAX_ID for i in ids)):
        raise wrong("client_ids", f"must be one a row, {_MAX_ID} characters at most")
    return rows, ids


def named(request: PredictRequest, rows: list[Any]) -> list[Any]:
    """The rows of a request as objects of names and values.

    Raises:
        Problem: 422, columns or values do not fit.
    """
    if request.columns is None:
        return rows
    try:
        return named_rows(request.columns, rows)
    except InvalidField as err:
        raise wrong(err.field, err.problem) from err


def wrong_rows(err: InvalidRows) -> Problem:
    """The refusal of rows that the signature refuses, with every wrong field."""
    errors = [(p.field, p.problem) for p in err.problems]
    return Problem(422, f"{len(errors)} wrong: {err}"[:500], errors=errors)


def shorten(asked: Asked, header: bytes | None) -> None:
    """Takes the time that a client gives its request, by the header X-Request-Timeout-Ms.

    Raises:
        Problem: 400, it is no number of milliseconds.
    """
    given = milliseconds(header)
    if given is not None:
        asked.within(given)


def milliseconds(header: bytes | None) -> int | None:
    """What X-Request-Timeout-Ms says.

    Raises:
        Problem: 400, it is no number of milliseconds.
    """
    if header is None:
        return None
    if not header.isdigit() or len(header) > 9 or header.lstrip(b"0") == b"":
        problem = "must be whole milliseconds, 1 or more"
        raise Problem(400, f"X-Request-Timeout-Ms {problem}", errors=[("X-Request-Timeout-Ms", problem)])
    return int(header)


def wrong(field: str, problem: str) -> Problem:
    """The refusal of a request with one wrong field."""
    return Problem(422, f"{field}: {problem}", errors=[(field, problem)])

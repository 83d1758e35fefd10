"""What a browser's form says: names and texts, bounded; the guard has bounded the whole."""

from urllib.parse import parse_qsl

from fastapi import Request

from shipway.runtime.http import Problem

MOST_FIELDS = 20


async def form_of(request: Request) -> dict[str, str]:
    """A form's fields; of one that is there twice the last counts.

    Raises:
        Problem: it is no form, or one of no page of ours.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    body = await request.body()
    if body and kind != "application/x-www-form-urlencoded":
        raise Problem(415, "a form is needed: application/x-www-form-urlencoded")
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError as err:
        raise Problem(400, "the form can't be read") from err
    if any("\x00" in name or "\x00" in value for name, value in fields):
        raise Problem(400, "the form holds a NUL")
    return dict(fields)

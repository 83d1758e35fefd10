"""Asks a REST API what its own document allows, and what it forbids; every answer must be a documented one."""

from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

import httpx
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Err
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


async def fuzz(
    client: httpx.AsyncClient,
    *,
    each: int,
    skip: Collection[str] = (),
    change: Callable[[Any], None] = lambda _case: None,
) -> Counter[tuple[str, int]]:
    """Asks every operation ``each`` times with valid and as often with invalid data; counts answers by status.

    ``change`` may alter a case before it is sent, so that it meets something that is there.
    """
    document = (await client.get("/openapi.json")).json()
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=str(client.base_url))
    counts: Counter[tuple[str, int]] = Counter()
    for found in schema.get_all_operations():
        assert not isinstance(found, Err), found
        operation = found.ok()
        if operation.path in skip:
            continue
        for mode in schemathesis.GenerationMode:
            for case in _cases(operation, mode, each):
                change(case)
                response = await client.send(_request(client, case))
                case.validate_response(response, checks=CHECKS)
                counts[operation.label, response.status_code] += 1
    return counts


def _cases(operation: Any, mode: schemathesis.GenerationMode, count: int) -> list[Any]:
    """The same cases at every run."""
    cases: list[Any] = []

    @settings(
        max_examples=count,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def draw(case: Any) -> None:
        cases.append(case)

    with suppress(Unsatisfiable):  # nothing can be wrong where nothing is asked for
        draw()
    return cases


def _request(client: httpx.AsyncClient, case: Any) -> httpx.Request:
    """The case as schemathesis would send it, to be sent by an asynchronous client."""
    arguments = case.as_transport_kwargs()
    prepared: Any = requests.Request(
        **{name: arguments.get(name) for name in ("method", "url", "headers", "params", "data", "json", "cookies")}
    ).prepare()
    return client.build_request(prepared.method, prepared.url, headers=prepared.headers, content=prepared.body)

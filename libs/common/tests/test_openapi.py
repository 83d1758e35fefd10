"""What a document says of refusals and tokens: those of a guard where there is one."""

from typing import Any

import pytest
from fastapi import FastAPI

from shipway.runtime.openapi import document, problems


@pytest.mark.parametrize("guarded", [True, False])
def test_a_document_tells_the_guards_refusals_where_there_is_a_guard(guarded: bool) -> None:
    app = FastAPI()

    @app.get("/api/things", responses=problems(404))
    async def things() -> dict[str, Any]:
        return {}

    document(app, guarded=guarded)
    shown = app.openapi()
    operation = shown["paths"]["/api/things"]["get"]
    assert set(operation["responses"]) == {"200", "404"} | ({"401", "403", "429"} if guarded else set())
    assert ("security" in operation, "securitySchemes" in shown["components"]) == (guarded, guarded)
    assert "ProblemDocument" in shown["components"]["schemas"]

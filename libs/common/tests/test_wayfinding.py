"""Who asks for what is not there, or in a way that does not fit, is told what is there and what fits."""

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, field_validator

from shipway.runtime.openapi import document
from shipway.runtime.refusals import add_refusals
from shipway.runtime.wayfinding import nowhere

KNOWN = {"/models": {"GET"}, "/models/{model}": {"GET", "DELETE"}, "/predict/{model}": {"POST"}}


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/model", "did you mean GET /models?"),
        ("/api/models", "did you mean GET /models?"),
        ("/model/flights", "did you mean DELETE or GET /models/{model}?"),
        ("/predit/flights", "did you mean POST /predict/{model}?"),
        ("/", "has nothing at '/'; /docs"),
        ("/favicon.ico", "has nothing at '/favicon.ico'; /docs"),
    ],
)
def test_a_path_that_is_nearly_one_names_it(path: str, meant: str) -> None:
    said = nowhere("Shipway gateway", path, KNOWN)
    assert meant in said and "/openapi.json" in said


@given(path=st.text())
def test_no_path_is_shown_at_length_or_raw(path: str) -> None:
    said = nowhere("Shipway gateway", path, KNOWN)
    assert len(said) < 1200 and said.isprintable()


class Silence(BaseModel):
    """Takes nothing else."""

    model_config = ConfigDict(extra="forbid")
    minutes: int

    @field_validator("minutes")
    @classmethod
    def _some(cls, minutes: int) -> int:
        if minutes < 1:
            raise ValueError("must be 1 or more")
        return minutes


async def test_an_app_says_so_as_a_problem_and_lists_what_it_got_later() -> None:
    app = FastAPI(title="Shipway gateway")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as http:
        early = (await http.get("/openapi.json")).json()
        assert early["paths"] == {}
        add_refusals(app)

        @app.get("/models/{model}")
        async def model(model: str) -> str:
            return model

        @app.post("/silences")
        async def silence(body: Silence) -> int:
            return body.minutes

        document(app)
        assert list((await http.get("/openapi.json")).json()["paths"]) == ["/models/{model}", "/silences"], (
            "asked early"
        )
        lost = await http.get("/model/flights")
        assert (lost.status_code, lost.headers["content-type"]) == (404, "application/problem+json")
        assert "did you mean GET /models/{model}?" in lost.json()["detail"]
        wrong = await http.post("/models/flights")
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET")
        assert "'/models/flights' is not asked by POST, but by GET" in wrong.json()["detail"]
        bodies = {'{"minutes": 0}': "must be 1 or more", "{}": "is required; add it"}
        bodies |= {'{"minutes": 1, "of": 2}': "is not a known field"}
        for body, problem in bodies.items():
            refused = await http.post("/silences", content=body, headers={"content-type": "application/json"})
            assert (refused.status_code, refused.json()["errors"][0]["problem"]) == (422, problem)
        broken = await http.post("/silences", content="{", headers={"content-type": "application/json"})
        assert broken.status_code == 400 and broken.json()["detail"].startswith("the body is not JSON: Expecting")

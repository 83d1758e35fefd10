"""One request to several models: each asked with a time of its own, and their answers made one by gateway/ensemble.py.

Each model is asked as if it alone had been: by its own lanes, limits and budget of retries, and with a record of its
own. So one that is slow or fails is a line in the answer, and costs the others nothing.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from prometheus_client import Counter

from shipway.contract.describing import describe_outputs
from shipway.contract.predictrequest import PredictRequest
from shipway.contract.rowencoding import InvalidRows
from shipway.contract.rows import as_bytes
from shipway.gateway.asked import Asked
from shipway.gateway.asking import Asker
from shipway.gateway.ensemble import Aggregate, Answer, Failure, Require, Unanswered, combine
from shipway.gateway.groups import Groups
from shipway.gateway.requests import checked_rows, decoded, named, wrong, wrong_rows
from shipway.runtime.http import Problem

SEVERAL = Counter("shipway_gateway_several_total", "Requests to several models, by how they ended.", ["outcome"])
_Milliseconds = Annotated[int, msgspec.Meta(ge=1, le=10**9)]


class SeveralRequest(PredictRequest, frozen=True, forbid_unknown_fields=True):
    """The body: rows as for one model, and ``models`` or a declared ``group``; ``timeout_ms`` is a model's time."""

    models: list[str] | None = None
    group: str | None = None
    aggregate: Aggregate = "all"
    require: Require = "all"
    timeout_ms: _Milliseconds | dict[str, _Milliseconds] | None = None
    later: bool = False


_request = msgspec.json.Decoder(SeveralRequest)


@dataclass(frozen=True)
class Question:
    """A request that was understood: whom to ask what, how long each has (in seconds), and what to make of it."""

    models: Sequence[str]
    rows: Sequence[Any]
    client_ids: list[str] | None
    aggregate: Aggregate
    require: Require
    limits_s: Mapping[str, float]
    later: bool
    headers: Sequence[tuple[bytes, bytes]] = ()


class Several:
    """Asks several models."""

    def __init__(self, asker: Asker, groups: Groups, max_models: int) -> None:
        self._asker = asker
        self._groups = groups
        self._max_models = max_models

    def understand(
        self, body: bytes, longest_s: float, later_s: float, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> Question:
        """The question in a body; no model has more than ``longest_s``, or ``later_s`` where it is answered later.

        Raises:
            Problem: 400 no JSON, 404 no such group, 422 what is wrong with which field.
        """
        request = decoded(_request, body)
        sent, client_ids = checked_rows(request, self._asker.limits.rows)
        rows = named(request, sent)
        if request.explain:
            raise wrong("explain", "is for one model at a time: POST /predict/{model}")
        models = self._models(request)
        if isinstance(request.require, int) and not 1 <= request.require <= len(models):
            raise wrong("require", f'must be "all", "any" or 1 to {len(models)}')
        longest = later_s if request.later else longest_s
        given = request.timeout_ms
        if isinstance(given, dict):
            if stray := [name for name in given if name not in models]:
                raise wrong(f"timeout_ms.{stray[0][:100]}", "is none of the models that are asked")
            limits = {m: min(longest, given[m] / 1000) if m in given else longest for m in models}
        else:
            limits = dict.fromkeys(models, longest if given is None else min(longest, given / 1000))
        asked = models, rows, client_ids, request.aggregate, request.require, limits, request.later
        question = Question(*asked, headers)
        self._check_fields(question)
        return question

    async def answer(self, question: Question, traceparent: bytes | None) -> dict[str, Any]:
        """The answer of all together.

        Raises:
            Problem: too few answered, or what they say can't be made one; with every model's reason.
        """
        asking = [asyncio.ensure_future(self._one(question, model, traceparent)) for model in question.models]
        try:
            if question.aggregate == "first":
                found = await _first(asking)
            else:
                found = list(await asyncio.gather(*asking))
        finally:
            for one in asking:
                one.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        answers = [one for one in found if isinstance(one, Answer)]
        failures = [one for one in found if isinstance(one, Failure)]
        try:
            made = combine(question.aggregate, question.require, answers, failures)
        except Unanswered as err:
            SEVERAL.labels("refused").inc()
            errors = [(f.model, f"{f.status}: {f.detail}"[:500]) for f in err.failures]
            retry_after_s = 1 if err.status == 503 else None
            raise Problem(err.status, str(err)[:1000], errors=errors, retry_after_s=retry_after_s) from err
        SEVERAL.labels("partial" if made["partial"] else "whole").inc()
        return made

    def _models(self, request: SeveralRequest) -> list[str]:
        if (request.models is None) == (request.group is None):
            raise wrong("models", 'send {"models": [names]}, or {"group": a declared group}')
        if request.group is not None:
            served = self._asker.registry.routes
            models = [model for model in self._groups.members(request.group) if model in served]
            if not models:
                raise Problem(404, f"no model that is served declares the group {request.group[:100]!r}")
        else:
            models = request.models or []
        if not 1 <= len(models) <= self._max_models:
            raise wrong("models", f"{len(models)} are asked; 1 to {self._max_models} are allowed")
        if len(set(models)) != len(models):
            raise wrong("models", "names a model twice")
        return models

    def _check_fields(self, question: Question) -> None:
        """A field that none of the models knows is a mistake; each takes its own of the others."""
        known: set[str] = set()
        for model in question.models:
            routes = self._asker.registry.routes.get(model)
            if routes is None or not routes.routes:
                return  # not known now what it takes
            for route in routes.routes:
                known |= route.encoder.fields
        for i, row in enumerate(question.rows):
            if isinstance(row, dict) and (stray := row.keys() - known):
                raise wrong(f"rows[{i}].{min(stray)[:100]}", "is not a feature of any of these models")

    async def _one(self, question: Question, model: str, traceparent: bytes | None) -> Answer | Failure:
        asked = self._asker.asked(model, traceparent)
        asked.timeout_s = question.limits_s[model]
        asked.headers, asked.rows = question.headers, question.rows
        try:
            answer = await self._asked(question, asked)
        except Problem as problem:
            self._asker.endings.refused(asked, problem)
            return Failure(model, problem.status, problem.detail)
        except asyncio.CancelledError:
            self._asker.endings.gone(asked)
            raise
        self._asker.endings.answered(asked)
        return answer

    async def _asked(self, question: Question, asked: Asked) -> Answer:
        route = await self._asker.route(asked)
        names = route.encoder.fields
        rows = [{k: v for k, v in row.items() if k in names} if isinstance(row, dict) else row for row in question.rows]
        try:
            encoded = self._asker.encoded(asked, rows)
        except InvalidRows as err:
            raise wrong_rows(err) from err
        asked.rows = rows
        scores = await self._asker.scores(asked, len(encoded), as_bytes(encoded), question.client_ids)
        signature = route.signature
        told = zip(asked.ids, describe_outputs(signature, scores), strict=True)
        predictions = [{"id": one, **words} for one, words in told]
        return Answer(route.model, route.version, signature.classes, predictions, asked.looked_up)


async def _first(asking: Sequence["asyncio.Future[Answer | Failure]"]) -> list[Answer | Failure]:
    """The first answer that comes, with the failures before it; all failures where there is none."""
    waiting, found = set(asking), []
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for one in done:
            found.append(one.result())
            if isinstance(found[-1], Answer):
                return found
    return found

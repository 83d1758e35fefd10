"""The hot path: one ASGI function for ``POST /v2/models/{model}[/versions/{version}]/infer``, ahead of FastAPI."""

import time

from shipway.bundle.capi import LightGBMError
from shipway.contract.errors import InvalidField
from shipway.contract.inference import NOT_LOADED, decode_request, encode_answer
from shipway.contract.inferpaths import DEADLINE_HEADER, LENGTH_HEADER, TIMEOUT_HEADER, asked_model
from shipway.contract.rowencoding import InvalidRows
from shipway.predictor.held import Serving, Versions
from shipway.predictor.record import Recorder
from shipway.predictor.scoring import FAST_ROWS
from shipway.predictor.threads import ScoringThreads
from shipway.runtime import trace
from shipway.runtime.http import Asgi, ClientGone, Problem, Receive, Scope, Send, read_body, respond, respond_problem
from shipway.runtime.prediction_ids import as_text, new_ids

_LENGTH, _DEADLINE, _TIMEOUT = LENGTH_HEADER.encode(), DEADLINE_HEADER.encode(), TIMEOUT_HEADER.encode()


class InferenceApp:
    """Answers inference requests itself, and hands everything else to ``rest``."""

    def __init__(self, versions: Versions, recorder: Recorder, threads: ScoringThreads, rest: Asgi) -> None:
        self._versions = versions
        self._recorder = recorder
        self._threads = threads
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].endswith("/infer"):
            await self._rest(scope, receive, send)
            return
        begun = time.perf_counter()
        try:
            length, body = await self._answer(scope, receive, begun)
        except Problem as problem:
            await respond_problem(send, problem, path=scope["path"])
        except ClientGone:
            return
        else:
            headers = [(b"content-type", b"application/json")]
            if length is not None:
                headers = [(b"content-type", b"application/octet-stream"), (_LENGTH, str(length).encode())]
            await respond(send, 200, body, headers)

    async def _answer(self, scope: Scope, receive: Receive, begun: float) -> tuple[int | None, bytes]:
        headers = dict(scope["headers"])
        serving = self._serving(scope["path"])
        body = await read_body(receive, headers, self._versions.limits.body_bytes)
        length = headers.get(_LENGTH)
        scorer = serving.loaded.scorer
        try:
            request = decode_request(
                body,
                length.decode("latin-1") if length is not None else None,
                serving.loaded.encoder,
                max_rows=self._versions.limits.rows,
            )
        except InvalidField as err:
            raise Problem(422, str(err), errors=[(err.field, err.problem)]) from err
        except InvalidRows as err:
            raise Problem(422, str(err)[:500], errors=[(p.field, p.problem) for p in err.problems]) from err
        left = headers.get(_DEADLINE) or headers.get(_TIMEOUT, b"")
        if left.isdigit() and (time.perf_counter() - begun) * 1000 >= int(left[:9]):
            raise Problem(504, "the deadline passed before the rows were scored", code="deadline")
        if request.labels.explain and len(request.rows) > scorer.explainable_rows:
            reason = f"of this model {scorer.explainable_rows} rows can be explained at once"
            raise Problem(422, f"parameters.explain: {reason}", errors=[("parameters.explain", reason)])
        score = scorer.explained if request.labels.explain else scorer.score
        try:
            if len(request.rows) < FAST_ROWS and not request.labels.explain and scorer.is_quick(len(request.rows)):
                scores = scorer.score(request.rows)  # microseconds: a thread's hand-over would cost more
            else:
                key = (serving.model, serving.version.version)
                divide = not request.labels.explain and not scorer.is_quick(len(request.rows) // 2)
                found = await self._threads.score(key, request.rows, score, divide=divide)
                assert found is not None, "no call gives none here"
                scores = found
        except LightGBMError as err:
            serving.errors += len(request.rows)
            raise Problem(500, f"LightGBM says: {err}", code="scoring-failed") from err
        labels, rows = request.labels, len(request.rows)
        ids = labels.prediction_ids or as_text(new_ids(rows))
        trace_id = trace.trace_id(headers.get(b"traceparent", b"").decode("latin-1"))
        self._recorder.answered(
            serving,
            request.rows,
            scores[:, : scorer.outputs],
            prediction_ids=ids,
            trace_ids=[trace_id] * rows,
            client_ids=labels.client_ids,
            role=labels.role,
            generation=labels.generation,
            begun=begun,
        )
        signature = serving.loaded.signature
        return encode_answer(serving.model, serving.version.version, request, signature, scores, ids)

    def _serving(self, path: str) -> Serving:
        asked = asked_model(path)
        held = self._versions.of_model(asked[0]) if asked is not None else []
        for serving in held:
            if asked is not None and asked[1] in (None, serving.version.version):
                return serving
        raise Problem(404, f"{path[:200]}: this instance does not hold that model and version", code=NOT_LOADED)

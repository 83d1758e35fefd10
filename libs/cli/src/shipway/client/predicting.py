"""Predictions, and what was true in the end."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from shipway.client.answers import KnownLabel, Prediction, Predictions
from shipway.client.calls import Calls
from shipway.client.errors import ShipwayError
from shipway.client.follow import following
from shipway.client.rowsbody import rows_body
from shipway.contract import topics
from shipway.contract.signature import Signature, parse_signature

if TYPE_CHECKING:
    import pandas as pd

LABELS_A_REQUEST = 1000


class Predicting(Calls):
    """Predictions and labels."""

    async def predict(
        self,
        model: str,
        rows: "Sequence[Mapping[str, Any]] | pd.DataFrame",
        *,
        client_ids: Sequence[str] | None = None,
        explain: bool = False,
    ) -> Predictions:
        """Predictions for rows of named features, or of a DataFrame whose columns are features.

        ``explain`` asks for what each feature contributed.

        Raises:
            Refused: with every wrong field. Unreachable: the gateway does not answer.
        """
        body = rows_body(rows)
        if client_ids is not None:
            body["client_ids"] = list(client_ids)
        if explain:
            body["explain"] = True
        answer = await self._call("POST", f"{self.addresses.gateway}/predict/{model}", body)
        predictions = [Prediction(**p) for p in answer["predictions"]]
        return Predictions(answer["model"], answer["version"], predictions, answer.get("looked_up"))

    async def predict_several(
        self,
        models: Sequence[str] | str,
        rows: "Sequence[Mapping[str, Any]] | pd.DataFrame",
        *,
        aggregate: Literal["all", "first", "mean", "vote"] = "all",
        require: Literal["all", "any"] | int = "all",
        timeout_ms: int | Mapping[str, int] | None = None,
        later: bool = False,
    ) -> dict[str, Any]:
        """What several models say of the same rows: those that are named, or those that declare a group (a name alone).

        The answer is as docs/predictions.md has it; with ``later`` it is the ``id`` for ``result``.

        Raises:
            Refused: too few answered, with every model's reason, or a wrong field. Unreachable: as of predict.
        """
        body = rows_body(rows) | {"aggregate": aggregate, "require": require, "later": later}
        body |= {"group": models} if isinstance(models, str) else {"models": list(models)}
        if timeout_ms is not None:
            body["timeout_ms"] = timeout_ms if isinstance(timeout_ms, int) else dict(timeout_ms)
        answer: dict[str, Any] = await self._call("POST", f"{self.addresses.gateway}/predict", body)
        return answer

    async def result(self, result_id: str) -> dict[str, Any]:
        """A result by its id: its ``status`` is pending, answered or failed.

        Raises:
            Refused: 404 it is not known any more, 410 it was lost and must be asked again. Unreachable: as of predict.
        """
        found: dict[str, Any] = await self._call("GET", f"{self.addresses.gateway}/results/{quote(result_id, safe='')}")
        return found

    async def feedback(
        self, model: str, prediction_id: str, label: str | float | bool, observed_at: datetime | None = None
    ) -> None:
        """Tells the true label of a prediction. Raises as predict does."""
        moment = (observed_at or datetime.now(UTC)).isoformat()
        body = {"model": model, "prediction_id": prediction_id, "label": label, "observed_at": moment}
        await self._call("POST", f"{self.addresses.gateway}/feedback", body)

    async def feedback_many(self, model: str, labels: Sequence[KnownLabel]) -> int:
        """Tells the true labels of many predictions; gives how many were taken, all of them. Raises as predict does.

        After an error some may have been taken: tell all of them again, a label counts once.
        """
        taken, url = 0, f"{self.addresses.gateway}/feedback"
        for begin in range(0, len(labels), LABELS_A_REQUEST):
            part = [_label_body(label) for label in labels[begin : begin + LABELS_A_REQUEST]]
            taken += (await self._call("POST", url, {"model": model, "labels": part}))["labels"]
        return taken

    @asynccontextmanager
    async def tail(self, model: str, *, from_start: bool = False) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """Follows the prediction log's records of a model, from now on (or from the start of what the broker keeps).

        Raises:
            Unreachable: the broker does not answer.
        """
        from shipway.client.tail import Tail  # PyArrow with it, which nothing else here needs

        async def signatures() -> dict[int, Signature]:
            try:
                served = await self._call("GET", f"{self.addresses.gateway}/models/{model}")
            except ShipwayError:
                return {}
            return {one["version"]: parse_signature(one["signature"]) for one in served["versions"]}

        async with following(self.addresses.kafka, [topics.PREDICTION_LOG], from_start=from_start) as follower:
            yield aiter(Tail(follower, model, signatures))


def _label_body(label: KnownLabel) -> dict[str, Any]:
    moment = (label.observed_at or datetime.now(UTC)).isoformat()
    return {"prediction_id": label.prediction_id, "label": label.label, "observed_at": moment}

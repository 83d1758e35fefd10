"""A person's hand: on releases, on alerts, on dead letters, on what is on record of somebody."""

from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from shipway.client.calls import Calls, whoami
from shipway.client.command import BY_EVALUATOR, BY_MONITOR, BY_RELEASER, give, new_command_id
from shipway.client.errors import ShipwayError
from shipway.contract.events import (
    CommandAnswered,
    OperatorAction,
    OperatorCommand,
    ReplayCompleted,
    ReplayFailed,
    ReplayRequested,
    SubjectForgetRequested,
    SubjectForgotten,
)


class Operating(Calls):
    """Commands, alerts and silences, dead letters."""

    async def command(
        self,
        model: str,
        action: OperatorAction,
        *,
        version: int | None = None,
        reason: str = "",
        answer_within_s: float = 30.0,
    ) -> CommandAnswered:
        """Gives a command over a model's releases, and waits until it is obeyed, or refused (``done`` is False).

        Signed where there is an operator key; ``version``: by default the one that the command is plainly about.

        Raises:
            ShipwayError: it does not count, such as without the right signature.
            Unreachable: the broker or the releaser does not answer.
        """
        asked = OperatorCommand(
            model=model,
            command_id=new_command_id(),
            action=action,
            version=version,
            reason=reason,
            requested_by=whoami(),
        )
        async with self._producing() as producer:
            key = self.addresses.operator_key
            return await give(self.addresses.kafka, producer, asked, key, answer_within_s, BY_RELEASER)

    async def forget(
        self, model: str, subject: str, *, reason: str = "", answer_within_s: float = 300.0
    ) -> SubjectForgotten:
        """Has the records of a subject removed: of predictions whose client id is ``subject``, or begins with it and a
        slash. Returns once they are gone, with how many there were. Raises as ``command`` does.
        """
        asked = SubjectForgetRequested(
            model=model, command_id=new_command_id(), subject=subject, reason=reason, requested_by=whoami()
        )
        async with self._producing() as producer:
            key = self.addresses.operator_key
            return await give(self.addresses.kafka, producer, asked, key, answer_within_s, BY_MONITOR)

    async def replay(
        self,
        model: str,
        version: int,
        *,
        start: datetime,
        end: datetime,
        limit: int = 10_000,
        reason: str = "",
        answer_within_s: float = 900.0,
    ) -> ReplayCompleted:
        """Has the evaluator score logged predictions with a version, and says how far its answers differ: the newest
        ``limit`` of ``start <= at < end``, which have a time zone. ``shipway.bundle.replay`` does the same here.

        Raises:
            ShipwayError: nothing can be replayed, and why; and as ``command`` does.
        """
        asked = ReplayRequested(
            model=model,
            command_id=new_command_id(),
            version=version,
            start=start,
            end=end,
            limit=limit,
            reason=reason,
            requested_by=whoami(),
        )
        async with self._producing() as producer:
            key = self.addresses.operator_key
            found = await give(self.addresses.kafka, producer, asked, key, answer_within_s, BY_EVALUATOR)
        if isinstance(found, ReplayFailed):
            raise ShipwayError(found.reason)
        return found

    async def alerts(self, model: str | None = None, *, ended: bool = False) -> list[dict[str, Any]]:
        """Open alerts, the newest first; with ``ended`` those that are over too."""
        query = {"ended": str(ended).lower()} | ({"model": model} if model is not None else {})
        found: list[dict[str, Any]] = (await self._look(f"/api/alerts?{urlencode(query)}"))["alerts"]
        return found

    async def acknowledge_alert(self, alert_id: str, note: str = "") -> None:
        """Says that somebody looks after an open alert: it is not told again until it ends. Refused: there is none."""
        url = f"{self.addresses.monitor}/api/alerts/{quote(alert_id, safe='')}/ack"
        await self._call("POST", url, {"by": whoami(), "note": note})

    async def silence_alerts(
        self, lasts: str, *, model: str | None = None, kind: str | None = None, reason: str = ""
    ) -> dict[str, Any]:
        """Keeps alerts from being delivered for a time such as "2h": of a model, of a kind, or all."""
        body = {"lasts": lasts, "model": model, "kind": kind, "by": whoami(), "reason": reason}
        made: dict[str, Any] = await self._call("POST", f"{self.addresses.monitor}/api/silences", body)
        return made

    async def silences(self) -> list[dict[str, Any]]:
        """The silences that last."""
        found: list[dict[str, Any]] = (await self._look("/api/silences"))["silences"]
        return found

    async def end_silence(self, silence_id: int) -> None:
        """Ends a silence now. Refused: there is none that lasts."""
        await self._call("DELETE", f"{self.addresses.monitor}/api/silences/{silence_id}")

    async def dead_letters(self, service: str | None = None) -> list[dict[str, Any]]:
        """What services refused within seven days (``service``: that one alone), the newest last."""
        query = {"before": str(2**62)} | ({"service": service} if service is not None else {})
        found: list[dict[str, Any]] = []
        while part := (await self._look(f"/api/dead-letters?{urlencode(query)}"))["letters"]:
            found += part
            query["before"] = str(part[-1]["id"])
        return found[::-1]

    async def dead_letter(self, letter_id: int) -> dict[str, Any]:
        """A dead letter with the message as it was. Refused: there is none."""
        return await self._look(f"/api/dead-letters/{letter_id}")

    async def send_again(self, letter_id: int) -> None:
        """Sends a dead letter's message again to where it was, and puts that on record.

        Raises:
            Refused: there is no such letter, or it was not kept whole. Unreachable: the monitor does not answer.
        """
        await self._call("POST", f"{self.addresses.monitor}/api/dead-letters/{letter_id}/send-again", {"by": whoami()})

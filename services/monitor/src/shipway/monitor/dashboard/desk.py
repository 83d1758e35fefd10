"""The desk at which buttons are pressed: who asks, what is said in their name, and how they are answered."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import Response

from shipway.contract.commandseal import seal
from shipway.contract.envelope import Envelope, encode
from shipway.contract.errors import Permanent
from shipway.contract.events import Payload
from shipway.contract.topics import OPERATOR_COMMANDS, topic_of
from shipway.monitor import reading
from shipway.monitor.dashboard.door import Visitor
from shipway.monitor.dashboard.forms import form_of
from shipway.monitor.dashboard.parts import Parts
from shipway.runtime import trace
from shipway.runtime.database import Transaction
from shipway.runtime.delivery import Outgoing, put
from shipway.runtime.http import Problem

SOURCE = "shipway/monitor"
T = TypeVar("T")


class Desk:
    """Takes what a visitor asks. The guard has asked for the scope ``operate``, the door for the page's token."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def visitor(self, request: Request) -> str:
        """Who asks, for the record.

        Raises:
            Problem: 403 where this dashboard gives no commands.
        """
        if not self._parts.commands:
            raise Problem(403, "this dashboard only shows (SHIPWAY_MONITOR__DASHBOARD__COMMANDS)")
        visitor: Visitor = request.scope["shipway.visitor"]
        return f"{visitor.name or 'anyone'} (dashboard)"

    async def asked(self, request: Request) -> tuple[str, dict[str, str]]:
        """Who asks, and the form. Raises Problem as ``visitor``, and where it is no form."""
        by = self.visitor(request)
        return by, await form_of(request)

    async def say(self, tx: Transaction, payload: Payload, event_id: str) -> None:
        """Has an event sent once the transaction holds; an operator's command signed, where there is a key."""
        topic = topic_of(payload)
        event = Envelope(event_id, SOURCE, datetime.now(UTC), payload, trace.child(trace.current()))
        message = encode(event)
        if self._parts.key and topic is OPERATOR_COMMANDS:
            message = seal(message, self._parts.key)
        await put(tx, [Outgoing(topic.name, event_id, message)])

    async def send(
        self, request: Request, model: str, payload: Payload, event_id: str, kind: str, what: str
    ) -> Response:
        """Sends what is asked of a model, and has the page ask what became of it, which ``outcomes`` knows by ``kind``.

        Raises:
            Problem: 404, there is no such model.
        """
        async with self._parts.database.begin() as tx:
            await known_model(tx, model)
            await self.say(tx, payload, event_id)
        self._parts.wake()
        return self.waits(request, model, kind, event_id, what)

    def told(self, request: Request, text: str, *, good: bool = True, leads_to: str = "") -> Response:
        """Says what became of it."""
        return self._parts.pages.page(request, "told.html", {"text": text, "good": good, "leads_to": leads_to})

    def waits(self, request: Request, model: str, kind: str, event_id: str, what: str, **more: Any) -> Response:
        """Says that it was asked for, and has the page ask what became of it (see outcomes)."""
        asked = {"what": what, "tries": 0} | more
        path = f"/dashboard/models/{quote(model, safe='')}/outcomes/{kind}/{quote(event_id, safe='')}"
        return self._parts.pages.page(request, "waiting.html", {"path": f"{path}?{urlencode(asked)}", "what": what})


def checked(make: Callable[[], T]) -> T:
    """What is made of a form; a wrong field is the visitor's to mend."""
    try:
        return make()
    except (Permanent, ValueError) as err:
        raise Problem(422, str(err)) from err


async def known_model(tx: Transaction, model: str) -> None:
    """Raises Problem, 404, where there is no such model."""
    if not await reading.overview(tx, model):
        raise Problem(404, f"model {model[:100]!r} is not known here")

"""What comes before a service has its parts: refused, with when to come again, but for what asks how the service is."""

from collections.abc import Callable

from shipway.runtime.http import Asgi, Problem, Receive, Scope, Send, respond_problem
from shipway.runtime.ops import OPS_PATHS


def refusing(rest: Asgi, refusal: Callable[[], Problem]) -> Asgi:
    """The application until then: ``rest`` says how the service is, all else comes too early."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPS_PATHS:
            await respond_problem(send, refusal(), path=scope["path"])
        else:
            await rest(scope, receive, send)

    return app

"""What becomes of an operator's command: it is obeyed, or refused with the reason; either is told. Pure.

A command is an order to the same machine that the rules drive, within the same bounds: nobody can promote what is not
ready, retire the champion, or go back to what is not there.
"""

from collections.abc import Callable
from dataclasses import replace

from shipway.contract import events as e
from shipway.releaser import release_orders, version_orders
from shipway.releaser.answers import Impossible, Outcome
from shipway.releaser.state import Order
from shipway.releaser.steps import Change, Situation

_ACTIONS: dict[e.OperatorAction, Callable[[Situation, Order], Outcome]] = {
    "approve": release_orders.approve,
    "promote": release_orders.promote,
    "roll_back": release_orders.roll_back,
    "hold": release_orders.hold,
    "resume": release_orders.resume,
    "freeze": release_orders.freeze,
    "unfreeze": release_orders.unfreeze,
    "pin": version_orders.pin,
    "unpin": version_orders.unpin,
    "retire": version_orders.retire,
    "restore": version_orders.restore,
}


def ordered(at: Situation) -> Change | None:
    """The oldest order, obeyed or refused, and the answer to it."""
    if not at.model.orders:
        return None
    order, rest = at.model.orders[0], at.model.orders[1:]
    try:
        change, answer = _ACTIONS[order.action](at, order)
        done = True
    except Impossible as err:
        change, answer, done = Change(at.model), str(err), False
    answered = e.CommandAnswered(
        model=at.model.name,
        command_id=order.id,
        action=order.action,
        version=order.version,
        done=done,
        answer=answer,
        reason=order.reason,
        requested_by=order.by,
    )
    return Change(replace(change.model, orders=rest), (*change.events, answered))

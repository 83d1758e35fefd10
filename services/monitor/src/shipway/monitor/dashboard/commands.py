"""What the dashboard can ask for: the buttons, and what each becomes when it is pressed. Pure.

Nothing else leaves the monitor in a person's name, and each says whose token it was asked with: what a form says of
that does not count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import get_args

from shipway.contract.errors import InvalidField
from shipway.contract.events import (
    OperatorAction,
    OperatorCommand,
    TrainingCancelRequested,
    TrainingRequested,
    TrainingRetryRequested,
)
from shipway.monitor.dashboard.hand import Hand

MAX_REASON = 500


@dataclass(frozen=True)
class Button:
    """A command over a model's releases, as it is offered. ``says``: what happens then; ``grave``: think twice."""

    action: OperatorAction
    label: str
    says: str
    version: int | None = None
    grave: bool = False


def of_release(version: int, state: str, hand: Hand, *, rollout: bool) -> list[Button]:
    """What can be done about a version that is released, or waits for it."""
    named = f"version {version}"
    found: list[Button] = []
    if state == "approved" and version not in hand.approved:
        found.append(Button("approve", "Approve", f"Where {named} waits for approval, it takes its turn.", version))
    if rollout:
        says = f"{named} is the champion at once, without the rest of its canary.".capitalize()
        found.append(Button("promote", "Promote", says, version, grave=True))
    if rollout or state == "approved":
        held = version in hand.held
        says = f"The release of {named} goes on." if held else f"The release of {named} stays where it is."
        found.append(Button("resume" if held else "hold", "Resume" if held else "Hold", says, version))
    if rollout or state in ("champion", "approved"):
        says = "The last good version answers instead." if state == "champion" else "It takes no traffic any more."
        found.append(Button("roll_back", "Roll back", f"{named} goes out. {says}".capitalize(), version, grave=True))
    if state in ("champion", "last_good", "standby"):
        pinned = version in hand.pinned
        says = f"{named} may go by rule again." if pinned else f"{named} stays loaded, whatever rule would let it go."
        button = Button("unpin" if pinned else "pin", "Unpin" if pinned else "Pin", says.capitalize(), version)
        found.append(button)
    if state in ("last_good", "standby"):
        says = f"{named} leaves the instances.".capitalize()
        found.append(Button("retire", "Retire", says, version, grave=True))
    if state == "retired":
        says = f"{named} is loaded again, and kept, so that it is there to go back to.".capitalize()
        found.append(Button("restore", "Restore", says, version))
    return found


def of_model(hand: Hand) -> Button:
    """The kill switch."""
    if hand.frozen:
        return Button("unfreeze", "Unfreeze", "Releases of the model go on.")
    says = "No release of the model starts or goes on. Going back stays possible."
    return Button("freeze", "Freeze", says, grave=True)


def operator_command(model: str, action: str, form: Mapping[str, str], *, command_id: str, by: str) -> OperatorCommand:
    """A command over a model's releases, as it was asked for.

    Raises:
        InvalidField: there is no such command, or a field is wrong.
    """
    actions: Sequence[OperatorAction] = get_args(OperatorAction)
    known = next((one for one in actions if one == action), None)
    if known is None:
        raise InvalidField("action", f"{action[:50]!r} is none of {', '.join(actions)}")
    version = form.get("version", "")
    if version and not (version.isascii() and version.isdigit() and 0 < int(version[:11]) < 2**31):
        raise InvalidField("version", "must be a version's number")
    return OperatorCommand(
        model=model,
        command_id=command_id,
        action=known,
        version=int(version) if version else None,
        reason=reason_of(form),
        requested_by=by,
    )


def training(model: str, form: Mapping[str, str], *, request_id: str, by: str) -> TrainingRequested:
    """A training request.

    Raises:
        InvalidField: a field is wrong.
    """
    until = form.get("until", "")
    try:
        moment = datetime.fromisoformat(until) if until else None
    except ValueError as err:
        raise InvalidField("until", "must be a day or a moment such as 2026-03-01") from err
    if moment is not None and moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return TrainingRequested(model=model, request_id=request_id, until=moment, reason=reason_of(form), requested_by=by)


def job(model: str, request_id: str, what: str, *, by: str) -> TrainingCancelRequested | TrainingRetryRequested:
    """The end of a training job, or another run of it.

    Raises:
        InvalidField: it is neither.
    """
    match what:
        case "cancel":
            return TrainingCancelRequested(model=model, request_id=request_id, requested_by=by)
        case "retry":
            return TrainingRetryRequested(model=model, request_id=request_id, requested_by=by)
        case _:
            raise InvalidField("what", f"{what[:50]!r} is neither cancel nor retry")


def reason_of(form: Mapping[str, str]) -> str:
    """Why, for the record.

    Raises:
        InvalidField: it is too long.
    """
    reason = " ".join(form.get("reason", "").split())
    if len(reason) > MAX_REASON:
        raise InvalidField("reason", f"has {len(reason)} characters; {MAX_REASON} are allowed")
    return reason or "no reason given"

"""The buttons over a model's releases: which are offered, and what each does. Pure."""

from dataclasses import dataclass

from shipway.contract.events import OperatorAction
from shipway.monitor.dashboard.hand import Hand


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

"""What instances, and gateways, say of themselves, as the API and the dashboard show it."""

from datetime import UTC, datetime
from typing import Any

from shipway.contract.events import GatewayPresence, Presence
from shipway.runtime.tableview import TableView


def instances_now(presence: TableView[Presence], silent_after_s: float) -> list[dict[str, Any]]:
    """Every instance that did not say goodbye; one that is silent for too long is not ``present``.

    ``only``: the digests of the only bundles that it can ever hold, as its image brings them; None: it can hold any.
    """
    now = datetime.now(UTC)
    found = []
    for name, said in sorted(presence.values.items()):
        age_s = (now - presence.envelopes[name].time).total_seconds()
        versions = [
            {"model": v.model, "version": v.version, "state": v.state, "reason": v.reason, "answered": v.answered}
            for v in said.versions
        ]
        found.append(
            {
                "instance": name,
                "url": said.url,
                "age_s": age_s,
                "present": age_s <= silent_after_s,
                "answered": said.answered,
                "logged": said.logged,
                "dropped": said.dropped,
                "only": said.only,
                "versions": versions,
            }
        )
    return found


def gateways_now(gateways: TableView[GatewayPresence], silent_after_s: float) -> list[dict[str, Any]]:
    """Every gateway, or worker of one, that did not say goodbye, with the generation by which it routes each model."""
    now = datetime.now(UTC)
    return [
        {
            "gateway": name,
            "age_s": (age_s := (now - gateways.envelopes[name].time).total_seconds()),
            "present": age_s <= silent_after_s,
            "routed": dict(sorted(said.routed.items())),
        }
        for name, said in sorted(gateways.values.items())
    ]

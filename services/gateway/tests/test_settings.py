"""What a gateway is called, by its settings alone."""

import socket

import pytest

from shipway.gateway.settings import GatewaySettings
from shipway.runtime.authsettings import AccessSettings
from shipway.runtime.settings import HttpSettings

EVERYWHERE = GatewaySettings(http=HttpSettings(host="0.0.0.0", port=8080), auth=AccessSettings(off=True))


def test_replicas_that_listen_everywhere_have_a_name_each_and_keep_it(monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    for pod in ("gateway-7d9f-x2", "gateway-7d9f-q8", "gateway-7d9f-x2"):
        monkeypatch.setattr(socket, "gethostname", lambda pod=pod: pod)
        names.append(EVERYWHERE.name(None))
    assert names == ["gateway-gateway-7d9f-x2-8080", "gateway-gateway-7d9f-q8-8080", "gateway-gateway-7d9f-x2-8080"]


def test_a_name_that_is_given_is_taken_and_each_worker_has_its_own() -> None:
    given = EVERYWHERE.model_copy(update={"instance": "edge-1"})
    assert [given.name(worker) for worker in (None, 0, 1)] == ["edge-1", "edge-1-0", "edge-1-1"]
    here = GatewaySettings(http=HttpSettings(host="127.0.0.1", port=8080))
    assert here.name(None) == "gateway-127.0.0.1-8080"

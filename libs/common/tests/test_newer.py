"""Types of a newer release are logged once each, however many come."""

from structlog.testing import capture_logs

from shipway.contract.versions import NewerType
from shipway.runtime import metrics
from shipway.runtime.newer import PassedOver


def test_each_type_is_logged_once_and_made_up_ones_do_not_fill_the_log() -> None:
    passed_over, counted = PassedOver(), metrics.NEWER.labels("t")._value
    before = counted.get()
    with capture_logs() as lines:
        for number in (1, 1, 2, 1):
            passed_over.note("t", NewerType(f"shipway.A.v{number}"))
        assert [line["type"] for line in lines] == ["shipway.A.v1", "shipway.A.v2"]
        for number in range(3, 1000):
            passed_over.note("t", NewerType(f"shipway.A.v{number}"))
    assert len(lines) == 100
    assert counted.get() == before + 1001

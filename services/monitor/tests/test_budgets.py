"""Error budgets and the pace at which they go, by the figures of the SRE workbook."""

from datetime import timedelta

import pytest

from shipway.monitor.budgets import Counts, budget, burn_rate, burning, is_spent, windows_of

MONTH, HOUR = timedelta(days=30), timedelta(hours=1)


def test_a_budget_is_what_may_miss_the_level() -> None:
    half = budget(Counts(99_950, 50), 0.999)
    assert (half.allowed, half.left) == pytest.approx((100, 0.5))
    assert budget(Counts(), 0.999).left == 1
    assert budget(Counts(0, 10), 0.99).left == pytest.approx(-99)


def test_it_is_spent_by_evidence_only_and_back_with_some_to_spare() -> None:
    gone, little, enough = (budget(Counts(1000 - bad, bad), 0.9) for bad in (100, 97, 90))
    assert is_spent(gone, before=False, least=1000)
    assert not is_spent(gone, before=False, least=1001)
    assert not is_spent(little, before=False, least=1)
    assert is_spent(little, before=True, least=1), "it does not come and go around nothing"
    assert not is_spent(enough, before=True, least=1)


# Rate of errors over the long and the short window of each rule (1 h, 6 h, 3 d), objective 99.9 %.
@pytest.mark.parametrize(
    ("hour", "six", "three_days", "short", "found"),
    [
        (14.5, 0, 0, 1000, {"fast burn"}),
        (14.5, 0, 0, 14.3, set()),  # it was so, and is so no more
        (14.3, 6.1, 0, 1000, {"fast burn"}),
        (14.3, 5.9, 1.1, 1000, {"slow burn"}),
        (14.3, 5.9, 0.9, 1000, set()),
    ],
)
def test_paces_are_those_of_the_workbook_for_thirty_days(
    hour: float, six: float, three_days: float, short: float, found: set[str]
) -> None:
    def counts(rate: float) -> Counts:
        return Counts(1_000_000 - round(rate * 1000), round(rate * 1000))

    windows = windows_of(MONTH)
    # 6 h is the long window of one rule and the short one of another.
    rates = dict.fromkeys(windows, short) | {HOUR: hour, 6 * HOUR: six, 72 * HOUR: three_days}
    counted = {window: counts(rates[window]) for window in windows}
    burns = burning(counted, 0.999, MONTH, 1000)
    assert {pace for pace, burn in burns.items() if burn is not None} == found


def test_few_requests_are_no_pace() -> None:
    counted = dict.fromkeys(windows_of(MONTH), Counts(0, 99))
    assert set(burning(counted, 0.999, MONTH, 100).values()) == {None}
    assert burn_rate(Counts(), 0.999) == 0

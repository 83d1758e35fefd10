"""Bugs planted in the tests that decide a canary: a test of ``test_sequential`` fails with each of them."""

from collections.abc import Callable

import pytest

from services.releaser.tests import test_sequential as checks
from shipway.releaser import sequential
from shipway.releaser.sequential import Tally

pytestmark = pytest.mark.slow

Original = Callable[..., float]
CHECKS: tuple[Callable[[], None], ...] = (
    checks.test_looking_at_every_step_raises_few_false_alarms_on_the_border,
    checks.test_what_is_truly_worse_is_found,
    checks.test_the_mean_of_the_evidence_under_the_hypothesis_is_at_most_one,
    checks.test_losses_between_nought_and_one_raise_no_more_alarms,
    checks.test_harm_and_its_absence_are_never_both_shown,
    checks.test_nothing_is_shown_against_nobody,
    checks.test_the_mean_of_the_evidence_that_it_is_worse_is_at_most_one,
)


def the_margin_is_not_seen(original: Original) -> Original:
    return lambda candidate, champion, margin: original(candidate, champion, 0.0)


def evidence_counts_twice(original: Original) -> Original:
    return lambda *of: 2 * original(*of)


def evidence_hardly_counts(original: Original) -> Original:
    return lambda *of: original(*of) / 20


def the_best_share_is_taken_for_the_mixture(original: Original) -> Original:
    """The share is chosen after the answers were seen: the likelihood at its best, instead of over all shares."""
    return lambda tally: sequential._log_likelihood(tally, tally.share)


def a_prior_that_knows_too_much(original: Original) -> Original:
    """All shares but those above a half are left out, and the rest counts double."""
    return lambda tally: original(tally) + 3.0


def the_border_is_the_champions_own_share(original: Original) -> Original:
    """The hypothesis is one pair of shares, that of the champion as it was seen, instead of the best of all."""

    def mutant(candidate: Tally, champion: Tally, margin: float) -> float:
        at = champion.share
        return sequential._log_likelihood(candidate, at + margin) + sequential._log_likelihood(champion, at)

    return mutant


def harm_is_shown_both_ways(original: Original) -> Original:
    """Different is taken for worse."""

    def mutant(candidate: Tally, champion: Tally, margin: float) -> float:
        return original(candidate, champion, margin) or original(champion, candidate, margin)

    return mutant


def no_harm_without_a_margin(original: Original) -> Original:
    """Better than the champion, instead of not worse by the margin."""
    return lambda candidate, champion, margin: original(champion, candidate, 0.0) and 5.0 if champion.bad else 5.0


PLANTED: tuple[tuple[str, Callable[[Original], Original]], ...] = (
    ("worse", the_margin_is_not_seen),
    ("worse", evidence_counts_twice),
    ("worse", evidence_hardly_counts),
    ("above", evidence_counts_twice),
    ("_mixture", the_best_share_is_taken_for_the_mixture),
    ("_mixture", a_prior_that_knows_too_much),
    ("_best_on_border", the_border_is_the_champions_own_share),
    ("worse", harm_is_shown_both_ways),
    ("within", no_harm_without_a_margin),
)


@pytest.mark.parametrize(("name", "bug"), PLANTED, ids=[f"{name}: {bug.__name__}" for name, bug in PLANTED])
def test_a_planted_bug_is_found(
    name: str, bug: Callable[[Original], Original], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(sequential, name)
    mutant = bug(original)
    for module in (sequential, checks):
        if getattr(module, name, None) is original:
            monkeypatch.setattr(module, name, mutant)
    with pytest.raises((AssertionError, ExceptionGroup)):  # a group, where a property fails in several ways
        for check in CHECKS:
            check()

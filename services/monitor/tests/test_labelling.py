"""Labels as they come in: doubled, conflicting, in any order."""

from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from shipway.monitor.labelling import Label, arrive, observed, same

T0 = datetime(2026, 1, 1, tzinfo=UTC)
values = st.one_of(st.booleans(), st.floats(allow_nan=False), st.sampled_from(["true", "1.0", "", "a"]))
coming = st.lists(
    st.builds(
        Label,
        model=st.just("m"),
        prediction_id=st.sampled_from("pq"),
        value=values,
        observed_at=st.integers(0, 3).map(lambda s: T0 + timedelta(seconds=s)),
    )
)


def label(value: object, seconds: int = 0, model: str = "m") -> Label:
    return Label(model, "p", value, T0 + timedelta(seconds=seconds))  # type: ignore[arg-type]


def test_the_label_observed_last_holds_and_each_is_counted() -> None:
    first = arrive({}, [label("a", 1), label("a", 5), label("b", 3), label("c", 9, "other")])
    assert (first.write["p"].value, first.write["p"].times) == ("a", 1), "it was seen again after the other"
    assert first.counts == {"received": 4, "doubled": 1, "conflicting": 1, "misdirected": 1}
    second = arrive(first.write, [label("b", 6)])
    assert (second.write["p"].value, second.write["p"].times) == ("b", 2)
    assert arrive(second.write, [label("b", 6), label("a", 2)]).write == {}


def test_true_is_not_one() -> None:
    assert not same(True, 1.0)
    assert same(1, 1.0)
    assert same("a", "a")


def test_a_clock_that_is_ahead_does_not_hold_off_corrections() -> None:
    assert observed(T0 + timedelta(days=9), T0) == T0
    assert observed(datetime(2025, 1, 1), T0) == datetime(2025, 1, 1, tzinfo=UTC)


@given(coming, st.randoms(use_true_random=False), st.integers(0, 9))
def test_every_order_and_every_batching_end_alike(labels: list[Label], random: Random, cut: int) -> None:
    def held(came: list[Label]) -> dict[str, tuple[object, object, datetime]]:
        first = arrive({}, came[:cut])
        second = arrive(first.write, came[cut:])
        written = {**first.write, **second.write}
        return {name: (type(one.value), one.value, one.observed_at) for name, one in written.items()}

    shuffled = list(labels)
    random.shuffle(shuffled)
    assert held(labels) == held(shuffled) == held(labels + shuffled)
    newest = {name: max(one.observed_at for one in labels if one.prediction_id == name) for name in held(labels)}
    assert {name: at for name, (*_, at) in held(labels).items()} == newest

"""What an instance loads and unloads: make before break, whatever happens to loads."""

from hypothesis import given
from hypothesis import strategies as st

from shipway.predictor.holding import Held, Wanted, after_outage, next_steps, unready

VERSIONS = st.integers(1, 4)
STATES = st.sampled_from(["loading", "ready", "failed", "waiting"])
WISHES = st.dictionaries(
    st.sampled_from(["a", "b"]),
    st.dictionaries(
        VERSIONS, st.tuples(st.sampled_from(["x", "y"]), st.sampled_from(["champion", "standby"])), max_size=3
    ),
)
HELD = st.dictionaries(
    st.tuples(st.sampled_from(["a", "b", "c"]), VERSIONS), st.tuples(st.sampled_from(["x", "y"]), STATES)
)


def wanted_of(raw: dict[str, dict[int, tuple[str, str]]]) -> dict[str, list[Wanted]]:
    return {m: [Wanted(m, v, digest, role) for v, (digest, role) in found.items()] for m, found in raw.items()}


@given(wishes=WISHES, held=HELD, free=st.integers(0, 3))
def test_steps_are_sound(
    wishes: dict[str, dict[int, tuple[str, str]]], held: dict[tuple[str, int], tuple[str, str]], free: int
) -> None:
    wanted = wanted_of(wishes)
    have = {key: Held(digest, state) for key, (digest, state) in held.items()}  # type: ignore[arg-type]
    steps = next_steps(wanted, have, now=10.0, free_loads=free)
    assert len(steps.load) <= free
    for wish in steps.load:
        now = have.get(wish.key)
        assert now is None or now.digest != wish.digest or now.state == "waiting"
        assert now is None or now.state != "loading", "a load under way is not begun again"
    for model, version in steps.unload:
        assert model in wanted, "a model of which nothing is known keeps what it has"
        assert version not in {w.version for w in wanted[model]}
        for wish in wanted[model]:
            assert have[wish.key].digest == wish.digest and have[wish.key].state in ("ready", "failed"), (
                "make before break"
            )


@given(wishes=WISHES)
def test_it_comes_to_rest_with_exactly_what_is_wanted(wishes: dict[str, dict[int, tuple[str, str]]]) -> None:
    wanted = wanted_of(wishes)
    have = {("a", 9): Held("old", "ready"), ("b", 9): Held("old", "ready")}
    for _ in range(20):
        steps = next_steps(wanted, have, now=0.0, free_loads=1)
        have |= {w.key: Held(w.digest, "ready") for w in steps.load}
        for key in steps.unload:
            del have[key]
    kept = {(m, 9) for m in ("a", "b") if m not in wanted}
    assert set(have) == kept | {w.key for found in wanted.values() for w in found}
    assert unready(wanted, have) == []


def test_champions_come_first() -> None:
    wanted = {"a": [Wanted("a", 1, "x", "standby"), Wanted("a", 2, "y", "champion")]}
    assert [w.version for w in next_steps(wanted, {}, 0.0, 2).load] == [2, 1]


def test_an_outage_is_tried_again_with_growing_pauses() -> None:
    have = Held("x", "loading")
    pauses = []
    for _ in range(8):
        have = after_outage(have, "the store is away", now=100.0)
        pauses.append(have.retry_at - 100.0)
    assert pauses == sorted(pauses) and pauses[0] == 0.5 and pauses[-1] == 15.0
    wanted = {"a": [Wanted("a", 1, "x", "champion")]}
    assert not next_steps(wanted, {("a", 1): have}, 100.0, 1).load
    assert next_steps(wanted, {("a", 1): have}, 115.0, 1).load
    assert unready(wanted, {("a", 1): have}) == ["a version 1 is waiting"]


def test_a_version_that_must_not_be_served_does_not_make_the_instance_unready() -> None:
    wanted = {"a": [Wanted("a", 1, "x", "champion")]}
    assert unready(wanted, {("a", 1): Held("x", "failed", "damaged")}) == []
    assert unready(wanted, {("a", 1): Held("other", "ready")}), "another bundle under that number is not it"

"""The routing table, for any desired state, presences and health."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.contract.events import DesiredState, HeldVersion, LoadedVersion, Presence, Traffic
from shipway.gateway.routing import Instance, ModelRoutes, model_routes, pick_instance

SIGNATURE = {"features": [{"name": "x", "type": "number"}], "output": "regression", "target": "y"}
NAMES = ("a", "b", "c")


def held(version: int, role: Any, digest: str = "") -> HeldVersion:
    return HeldVersion(version=version, digest=digest or f"d{version}", role=role, signature=SIGNATURE)


def state(versions: list[HeldVersion], shares: dict[int, float]) -> DesiredState:
    traffic = [Traffic(version=v, share=s) for v, s in shares.items()]
    return DesiredState(model="m", generation=3, versions=versions, traffic=traffic)


def presence(name: str, *loaded: tuple[str, int, str, Any]) -> Presence:
    versions = [LoadedVersion(model=m, version=v, digest=d, state=s) for m, v, d, s in loaded]
    began = datetime(2026, 1, 1, tzinfo=UTC)
    about: Any = {"started_at": began, "library_versions": {}, "generations": {}}
    return Presence(instance=name, url=f"http://{name}", rows=f"{name}:1", versions=versions, **about)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[DesiredState, list[Presence], set[str]]:
    roles = draw(st.permutations(["champion", "last_good", "candidate", "standby"]))
    versions = [held(i + 1, role) for i, role in enumerate(roles[: draw(st.integers(1, 4))])]
    share = draw(st.floats(0, 1))
    champion = next((v.version for v in versions if v.role == "champion"), versions[0].version)
    candidate = next((v.version for v in versions if v.role == "candidate"), None)
    shares = {champion: 1 - share, candidate: share} if candidate not in (None, champion) else {champion: 1.0}
    loads = st.tuples(
        st.sampled_from(["m", "other"]),
        st.integers(1, 6),  # 5 and 6 are retired: nobody wants them
        st.sampled_from(["d1", "d2", "d3", "d4", "old"]),
        st.sampled_from(["loading", "ready", "failed"]),
    )
    right = st.sampled_from([("m", v.version, v.digest, "ready") for v in versions])
    said = [presence(name, *draw(st.lists(loads | right, max_size=6))) for name in NAMES]
    return state(versions, shares), said, draw(st.sets(st.sampled_from(NAMES)))


def holds(said: Presence, version: HeldVersion) -> bool:
    return ("m", version.version, version.digest, "ready") in [
        (v.model, v.version, v.digest, v.state) for v in said.versions
    ]


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_shares_of_the_routable_versions_add_up_to_one(world: Any) -> None:
    wanted, said, well = world
    found = model_routes(wanted, said, well.__contains__)
    assert all(route.share >= 0 for route in found.routes)
    if found.routes:
        assert abs(sum(route.share for route in found.routes) - 1) < 1e-9


@settings(max_examples=60, deadline=None)
@given(worlds(), st.floats(0, 1, exclude_max=True))
def test_only_instances_that_hold_it_ready_with_the_right_digest_and_are_well_are_asked(world: Any, draw: Any) -> None:
    wanted, said, well = world
    by_name, by_version = {p.instance: p for p in said}, {v.version: v for v in wanted.versions}
    found = model_routes(wanted, said, well.__contains__)
    for route in found.routes:
        assert route.instances
        for instance in route.instances:
            assert instance.name in well
            assert holds(by_name[instance.name], by_version[route.version])
    chosen = found.choose(draw)
    anybody = any(holds(p, v) for p in said if p.instance in well for v in wanted.versions)
    assert (chosen is not None) == anybody, "as long as anybody can answer, somebody does"
    assert chosen is None or chosen.share > 0


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_a_candidate_never_gets_more_than_its_share_unless_nothing_else_is_left(world: Any) -> None:
    wanted, said, well = world
    found = model_routes(wanted, said, well.__contains__)
    for route in found.routes:
        if route.role == "candidate" and len(found.routes) > 1:
            assert route.share <= found.wanted.get(route.version, 0.0) + 1e-9


def routes_without(*gone: int) -> ModelRoutes:
    """Champion 3 (80 %), candidate 4 (20 %), last good 2, standby 1, each on an instance of its own."""
    versions = [held(3, "champion"), held(4, "candidate"), held(2, "last_good"), held(1, "standby")]
    said = [presence(f"i{n}", ("m", n, f"d{n}", "ready")) for n in (1, 2, 3, 4)]
    return model_routes(state(versions, {3: 0.8, 4: 0.2}), said, lambda name: int(name[1]) not in gone)


def shares(found: ModelRoutes) -> dict[int, float]:
    return {route.version: round(route.share, 9) for route in found.routes}


def test_a_lost_share_goes_to_the_champion_then_to_the_last_good_and_in_the_end_to_the_candidate() -> None:
    assert shares(routes_without()) == {3: 0.8, 4: 0.2, 2: 0, 1: 0}
    assert shares(routes_without(4)) == {3: 1, 2: 0, 1: 0}
    assert shares(routes_without(3)) == {4: 0.2, 2: 0.8, 1: 0}
    assert shares(routes_without(3, 2)) == {4: 0.2, 1: 0.8}
    assert shares(routes_without(3, 2, 1)) == {4: 1}
    assert shares(routes_without(1, 2, 3, 4)) == {}


def test_a_draw_chooses_by_the_shares() -> None:
    found = routes_without()
    chosen = [found.choose(i / 1000) for i in range(1000)]
    assert [route.version for route in chosen if route] == [4] * 200 + [3] * 800


def canary(share: float, sticky: str, *gone: int) -> ModelRoutes:
    """Champion 3 and candidate 4 with that share, last good 2; but for those that are gone."""
    wanted = state([held(3, "champion"), held(4, "candidate"), held(2, "last_good")], {3: 1 - share, 4: share})
    wanted = msgspec.structs.replace(wanted, sticky=sticky)
    said = [presence(f"i{n}", ("m", n, f"d{n}", "ready")) for n in (2, 3, 4)]
    return model_routes(wanted, said, lambda name: int(name[1]) not in gone)


def version_of(routes: ModelRoutes, key: str) -> int:
    assert routes.sticky is not None
    at = routes.sticky.place([(b"x-shipway-key", key.encode())], None, b"")
    route = routes.choose(at if at is not None else 0.999999)
    assert route is not None
    return route.version


@given(st.text("abc123-", min_size=1), st.floats(0.001, 0.999), st.floats(0.001, 0.999), st.booleans())
def test_a_key_that_has_the_candidate_keeps_it_as_the_share_grows(key: str, one: float, two: float, out: bool) -> None:
    """Also where the champion can't answer meanwhile, and the last good version stands in for it."""
    less, more = sorted((one, two))
    before = version_of(canary(less, "header:X-Shipway-Key"), key)
    after = version_of(canary(more, "header:X-Shipway-Key", *([3] if out else [])), key)
    assert before != 4 or after == 4
    assert before == version_of(canary(less, "header:X-Shipway-Key"), key), "the same key, the same version"


@given(st.lists(st.integers(0, 9), min_size=3, max_size=3), st.sets(st.sampled_from(NAMES)), st.randoms())
def test_the_less_busy_of_two_is_picked_and_none_that_was_tried(busy: list[int], tried: set[str], random: Any) -> None:
    load = dict(zip(NAMES, busy, strict=True))
    instances = [Instance(name, "http://x") for name in NAMES]
    picked = pick_instance(instances, load.__getitem__, random.randrange, frozenset(tried))
    left = [load[name] for name in NAMES if name not in tried]
    assert (picked is None) == (not left)
    if picked is not None:
        assert picked.name not in tried
        assert len(left) < 2 or load[picked.name] <= sorted(left)[-2], "of two, never the busier"

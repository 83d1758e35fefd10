"""What takes an instance out, what brings it back, and what does not: probes, goodbyes, silence."""

import asyncio
import socket
from datetime import UTC, datetime
from typing import Any

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.contract.events import DesiredState, HeldVersion, LoadedVersion, Presence, Traffic
from shipway.gateway.featuretable import FeatureTable
from shipway.gateway.registry import Health, Registry
from shipway.gateway.routing import model_routes
from shipway.gateway.settings import FeatureSettings, ProbeSettings
from shipway.runtime.settings import KafkaSettings

SIGNATURE = {"features": [{"name": "x", "type": "number"}], "output": "regression", "target": "y"}


def dead_url() -> str:
    """An address where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def routed(gateway: Any) -> list[str]:
    """The instances that the model's requests go to."""
    return sorted(i.name for route in gateway.registry.routes["m"].routes for i in route.instances)


async def test_a_new_instance_takes_traffic_once_its_probe_passed(
    gateways: Any, predictors: Any, eventually: Any
) -> None:
    gateway = await gateways(probes={"every_s": 600, "every_out_s": 600})
    gateway.wants((1, "champion", 1.0))
    gateway.says("a", predictors[0].url, 1)
    assert routed(gateway) == [], "not before"
    await eventually(lambda: routed(gateway) == ["a"])


async def test_an_instance_that_hangs_holds_up_nobody_elses_probe(
    gateways: Any, predictors: Any, eventually: Any
) -> None:
    gateway = await gateways(probes={"timeout_s": 600})
    with socket.create_server(("127.0.0.1", 0)) as mute:
        gateway.wants((1, "champion", 1.0))
        gateway.says("mute", f"http://127.0.0.1:{mute.getsockname()[1]}", 1)
        await eventually(lambda: not gateway.registry._wake.is_set())
        gateway.says("a", predictors[0].url, 1)
        await eventually(lambda: routed(gateway) == ["a"])


async def test_one_that_says_it_is_not_ready_is_out_and_comes_back(
    gateways: Any, predictors: Any, eventually: Any
) -> None:
    gateway, (a, b) = await gateways(), predictors
    gateway.wants((1, "champion", 1.0))
    await gateway.knows(a, 1)
    await gateway.knows(b, 1)
    a.ready = False
    await eventually(lambda: routed(gateway) == ["b"])
    a.ready = True
    await eventually(lambda: routed(gateway) == ["a", "b"])


async def test_probes_that_all_fail_do_not_empty_the_table(gateways: Any, predictors: Any, eventually: Any) -> None:
    gateway = await gateways()
    gateway.wants((1, "champion", 1.0))
    for predictor in predictors:
        await gateway.knows(predictor, 1)
        predictor.ready = False
    await eventually(lambda: not any(gateway.registry.health[p.name].well for p in predictors))
    assert routed(gateway) == ["a", "b"], "the last resort"
    assert (await gateway.ask()).status_code == 200


async def test_one_that_never_answered_is_no_last_resort_and_is_forgotten(gateways: Any, eventually: Any) -> None:
    gateway = await gateways(probes={"forget_s": 0.2})
    gateway.wants((1, "champion", 1.0))
    gateway.says("ghost", dead_url(), 1)
    assert (await gateway.ask()).status_code == 503
    await eventually(lambda: not gateway.registry.presences())
    assert not gateway.registry.health


async def test_a_lost_connection_to_the_only_instance_is_probed_back_at_once(
    gateways: Any, predictors: Any, eventually: Any
) -> None:
    gateway = await gateways(probes={"every_s": 600, "every_out_s": 600})
    gateway.wants((1, "champion", 1.0))
    await gateway.knows(predictors[0], 1)
    gateway.registry.eject("a", "connection lost")
    assert not gateway.registry.health["a"].well
    await eventually(lambda: gateway.registry.health["a"].well)


async def test_a_probe_from_before_the_ejection_brings_nobody_back(
    gateways: Any, predictors: Any, eventually: Any
) -> None:
    gateway, a = await gateways(probes={"every_s": 600, "every_out_s": 600}), predictors[0]
    gateway.wants((1, "champion", 1.0))
    await gateway.knows(a, 1)
    health = gateway.registry.health["a"]

    class Held:
        """Answers a probe once the instance was ejected."""

        async def get(self, _url: str) -> Any:
            gateway.registry.eject("a", "connection lost")
            return httpx.Response(200)

    await gateway.registry._probe(Held(), "a", health)
    assert not health.well
    await eventually(lambda: health.well)


async def test_a_goodbye_takes_it_out_and_a_retired_version_is_asked_no_more(gateways: Any, predictors: Any) -> None:
    gateway = await gateways()
    gateway.wants((1, "champion", 1.0), (2, "candidate", 0.0))
    await gateway.knows(predictors[0], 1, 2)
    assert {r.version for r in gateway.registry.routes["m"].routes} == {1, 2}
    gateway.wants((2, "champion", 1.0), generation=2)
    gateway.wants((1, "champion", 1.0), generation=1)
    assert [(r.version, r.share) for r in gateway.registry.routes["m"].routes] == [(2, 1.0)], "generations never fall"
    gateway.registry.presence._take(b"a", None, [])
    assert routed(gateway) == []


async def test_a_heartbeat_changes_no_route(gateways: Any, predictors: Any) -> None:
    """Encoders are made once a version, not at every heartbeat of every instance."""
    gateway = await gateways(probes={"every_s": 30})
    gateway.wants((1, "champion", 1.0))
    await gateway.knows(predictors[0], 1)
    before = gateway.registry.routes
    gateway.says("a", predictors[0].url, 1, rows=predictors[0].rows)
    assert gateway.registry.routes is before
    gateway.says("a", predictors[0].url)
    assert routed(gateway) == []


async def test_a_retry_goes_to_whoever_holds_the_version_by_then(
    gateways: Any, predictors: Any, eventually: Any
) -> None:
    gateway, (a, b) = await gateways(), predictors
    gateway.wants((1, "champion", 1.0))
    await gateway.knows(a, 1)
    a.free.clear()
    asked = asyncio.create_task(gateway.ask())
    await eventually(lambda: a.waiting == 1)
    await gateway.knows(b, 1)
    await a.kill()
    assert (await asked).status_code == 200


async def test_a_request_waits_for_an_instance_that_starts_again(
    gateways: Any, predictors: Any, eventually: Any
) -> None:
    gateway, (a, b) = await gateways(patience_ms=5000), predictors
    gateway.wants((1, "champion", 1.0))
    early = asyncio.create_task(gateway.ask())
    await eventually(lambda: gateway.registry._waiting["m"] == 1)
    await gateway.knows(a, 1)
    assert (await early).status_code == 200, "nobody was there yet"
    await a.kill()
    late = asyncio.create_task(gateway.ask())
    await eventually(lambda: gateway.registry._waiting["m"] == 1)
    await gateway.knows(b, 1)
    assert (await late).status_code == 200, "the only one was gone"
    assert not gateway.registry._waiting


models, numbers, instances = st.sampled_from(["m", "n"]), st.integers(1, 3), st.sampled_from(["a", "b"])
news = st.one_of(
    st.tuples(st.just("wants"), models, st.lists(numbers, min_size=1, unique=True)),
    st.tuples(st.just("says"), instances, st.sets(st.tuples(models, numbers, st.sampled_from(["ready", "loading"])))),
    st.tuples(st.just("moves"), instances, st.sets(st.tuples(models, numbers, st.just("ready")))),
    st.tuples(st.sampled_from(["no model", "goodbye", "ejected"]), models | instances, st.none()),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(news, max_size=25))
def test_the_table_is_that_of_all_that_is_known_whatever_was_made_anew(heard: list[tuple[str, str, Any]]) -> None:
    registry, moves = Registry(KafkaSettings(), ProbeSettings(), FeatureTable(KafkaSettings(), FeatureSettings())), 0
    for what, name, more in heard:
        if what == "wants":
            held = [HeldVersion(version=v, digest=f"d{v}", role="standby", signature=SIGNATURE) for v in more]
            state = DesiredState(model=name, generation=1, versions=held, traffic=[Traffic(version=more[0], share=1)])
            registry.desired.values[name] = state
            registry._recompute([name])
        elif what == "no model" and name in registry.desired.values:
            del registry.desired.values[name]
            registry._recompute([name])
        elif what == "goodbye" and name in registry.presence.values:
            del registry.presence.values[name]
            registry._heard(name)
        elif what == "ejected":
            registry.eject(name, "test")
        elif what in ("says", "moves"):
            moves += what == "moves"
            loaded = [LoadedVersion(model=m, version=v, digest=f"d{v}", state=s) for m, v, s in more]
            url = f"http://{name}{moves}"
            registry.presence.values[name] = Presence(
                instance=name,
                url=url,
                rows="h:1",
                started_at=datetime(2026, 1, 1, tzinfo=UTC),
                versions=loaded,
                library_versions={},
                generations={},
            )
            registry.health.setdefault(name, Health(url, 0.0, well=True, last_passed=1.0))
            registry._heard(name)
        said = list(registry.presence.values.values())
        for model, state in registry.desired.values.items():
            wanted = model_routes(state, said, registry.well)
            assert registry.routes[model] == (
                wanted if wanted.routes else model_routes(state, said, registry._was_well)
            )
        assert registry.routes.keys() == registry.desired.values.keys() >= registry.routed.keys()
        assert all(registry.routed.get(model) == 1 for model, found in registry.routes.items() if found.whole)


async def test_what_it_routes_by_is_said_when_it_sends_to_all_and_not_taken_back(
    gateways: Any, predictors: Any, eventually: Any
) -> None:
    gateway = await gateways()
    said: list[dict[str, int]] = []
    gateway.registry.on_routed = lambda: said.append(dict(gateway.registry.routed))
    gateway.wants((1, "champion", 1.0), generation=3)
    assert said == [], "no instance holds it"
    await gateway.knows(predictors[0], 1)
    assert said == [{"m": 3}]
    gateway.wants((1, "champion", 0.5), (2, "candidate", 0.5), generation=4)
    assert gateway.registry.routes["m"].generation == 4 and said == [{"m": 3}], "it has heard, but does not send to 2"
    await gateway.knows(predictors[0], 1, 2)
    assert said == [{"m": 3}, {"m": 4}]
    gateway.wants((1, "last_good", 0.0), (2, "champion", 1.0), generation=5)
    assert said[-1] == {"m": 5} and len(said) == 3
    await gateway.knows(predictors[0], 1)
    assert len(said) == 3 and gateway.registry.routed == {"m": 5}, "an instance that goes takes nothing back"

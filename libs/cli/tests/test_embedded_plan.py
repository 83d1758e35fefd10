"""The embedded stack's decisions: which processes with which settings, which ports, when to start again."""

import json
import os
import socket
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.cli.stack import DOWN_WITHIN_S
from shipway.cli.target import addresses, objects
from shipway.contract.errors import InvalidField
from shipway.embedded import restarts
from shipway.embedded.ports import HOST, check_port, choose_ports
from shipway.embedded.stack import External, ProcessSpec, StackPlan, build, prepare
from shipway.embedded.state import (
    BROKER_ENDS_WITHIN_S,
    RunningProcess,
    StackRunning,
    StackState,
    born,
    last_state,
    locked,
    read_state,
    remove_state,
    write_state,
)

PORTS = {
    "postgres": 1001,
    "broker": 1002,
    "trainer": 1003,
    "evaluator": 1004,
    "releaser": 1005,
    "predictor-1": 1006,
    "predictor-2": 1007,
    "gateway": 1008,
    "monitor": 1009,
}


def test_the_whole_stack_has_every_service_after_its_database_and_broker() -> None:
    plan = build(Path("/data"), PORTS, "geheim", predictors=2)
    assert {p.name: p.port for p in plan.processes} == PORTS
    for spec in plan.processes:
        assert spec.after == (() if spec.kind != "service" else ("postgres", "broker"))
    gateway = plan.process("gateway")
    assert gateway.argv == (sys.executable, "-m", "shipway.gateway")
    assert gateway.url == "http://127.0.0.1:1008"
    assert gateway.env == {
        "PYTHONUNBUFFERED": "1",
        "SHIPWAY__KAFKA__BOOTSTRAP": "127.0.0.1:1002",
        "SHIPWAY__KAFKA__IDLE_FETCH_PAUSE_MS": "20",
        "SHIPWAY__KAFKA__DOORBELL": "/data/doorbell",
        "SHIPWAY__KAFKA__GROUP_INSTANCE": "embedded",
        "SHIPWAY__DATABASE__URL": "postgresql://shipway:geheim@127.0.0.1:1001/shipway",
        "SHIPWAY__OBJECTS__URL": "file:///data/objects",
        "SHIPWAY__DATA__FOLDERS": "/",
        "SHIPWAY__LOG__FORMAT": "json",
        "SHIPWAY_GATEWAY__HTTP__HOST": "127.0.0.1",
        "SHIPWAY_GATEWAY__HTTP__PORT": "1008",
        "SHIPWAY_GATEWAY__PREDICTION_LOG__FOLDER": "/data/prediction-log/gateway",
    }
    second = plan.process("predictor-2")
    assert second.argv[-1] == "shipway.predictor"
    assert second.env["SHIPWAY_PREDICTOR__INSTANCE"] == "predictor-2"
    assert second.env["SHIPWAY_PREDICTOR__HTTP__PORT"] == "1007"
    trainer, monitor = plan.process("trainer"), plan.process("monitor")
    assert monitor.env["SHIPWAY_MONITOR__DASHBOARD__TRAINER_URL"] == trainer.url


def test_everything_has_the_time_to_end_in_order_before_down_gives_up() -> None:
    plan = build(Path("/data"), PORTS)
    services = max(spec.stop_within_s for spec in plan.processes if spec.kind == "service")
    parts = max(spec.stop_within_s for spec in plan.processes if spec.kind != "service")
    assert plan.process("broker").stop_within_s == parts == BROKER_ENDS_WITHIN_S
    assert services + parts < DOWN_WITHIN_S


def test_external_parts_are_left_out_and_their_addresses_used() -> None:
    external = External(
        kafka="kafka:9092",
        database_url="postgresql://u@db/x",
        objects={"URL": "s3://models", "ENDPOINT": "http://s3:9000", "ACCESS_KEY": "a"},
    )
    plan = build(Path("/data"), {"gateway": 80}, services={"gateway"}, external=external, env={"SHIPWAY_X": "1"})
    (gateway,) = plan.processes
    assert gateway.after == ()
    assert gateway.env["SHIPWAY__KAFKA__BOOTSTRAP"] == plan.kafka == "kafka:9092"
    assert gateway.env["SHIPWAY__KAFKA__IDLE_FETCH_PAUSE_MS"] == "0"
    assert gateway.env["SHIPWAY__KAFKA__DOORBELL"] == plan.kafka_settings.doorbell == ""
    assert gateway.env["SHIPWAY__DATABASE__URL"] == plan.database_url == "postgresql://u@db/x"
    assert gateway.env["SHIPWAY__OBJECTS__URL"] == plan.objects_url == "s3://models"
    assert gateway.env["SHIPWAY__OBJECTS__ENDPOINT"] == "http://s3:9000"
    assert gateway.env["SHIPWAY_X"] == "1"


def test_releases_give_way_to_predictions_and_all_else_to_both() -> None:
    plan = build(Path("/data"), PORTS, predictors=2)
    nice = {p.name: p.niceness for p in plan.processes}
    assert nice["gateway"] == nice["predictor-1"] == nice["predictor-2"] == 0
    assert 0 < nice["releaser"] == nice["broker"] < min(nice[name] for name in ("trainer", "evaluator", "monitor"))


def test_durability_is_given_up_only_when_asked() -> None:
    kept = build(Path("/data"), PORTS, services=()).process("postgres").argv
    thrown_away = build(Path("/data"), PORTS, services=(), durable=False).process("postgres").argv
    assert "--fsync=off" not in kept
    assert "--fsync=off" in thrown_away


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"services": {"gatway"}}, "services: 'gatway' is not one of trainer,"),
        ({"predictors": 0}, "predictors: 0 is too few"),
        ({"ports": {"gatway": 80}}, "ports: 'gatway' is not one of postgres, broker"),
    ],
)
def test_a_wrong_wish_names_itself(tmp_path: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidField, match=message):
        prepare(tmp_path, **arguments)  # type: ignore[arg-type]


def test_a_plan_whose_order_has_no_end_is_refused() -> None:
    with pytest.raises(ValueError, match="b is there twice, or comes after"):
        StackPlan(Path("/"), (ProcessSpec("b", ("x",), after=("c",)), ProcessSpec("c", ("x",))), "", "", "")


def test_prepare_keeps_the_password_and_gives_every_process_its_port(tmp_path: Path) -> None:
    first = prepare(tmp_path / "new", predictors=2, usual_ports={})
    again = prepare(tmp_path / "new", usual_ports={})
    assert len({p.port for p in first.processes}) == len(first.processes) == 9
    assert first.secret == again.secret != ""
    assert (tmp_path / "new" / "postgres.password").stat().st_mode & 0o777 == 0o600


def test_ports_asked_for_must_be_free_and_usual_ones_give_way() -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InvalidField, match=f"--port gateway={port}: the port is in use; choose another"):
            check_port("gateway", port)
        with pytest.raises(InvalidField, match=f"--port gateway={port}: the port is in use"):
            choose_ports(["gateway"], {"gateway": port})
        assert choose_ports(["gateway"], usual={"gateway": port})["gateway"] != port
    check_port("gateway", port)
    assert choose_ports(["gateway"], usual={"gateway": port}) == {"gateway": port}
    with pytest.raises(InvalidField, match="--port monitor="):
        choose_ports(["gateway", "monitor"], {"gateway": port, "monitor": port})
    with pytest.raises(InvalidField, match=r"--port gateway=99999: .*must be 0-65535"):
        choose_ports(["gateway"], {"gateway": 99999})


@given(st.lists(st.floats(0, 100), min_size=1, max_size=40))
def test_the_delay_grows_to_a_bound_and_falls_back_after_a_steady_run(runs_s: list[float]) -> None:
    history, last_s = restarts.History(), 0.0
    for count, ran_s in enumerate(runs_s, start=1):
        history, delay_s = restarts.ended(history, ran_s)
        assert history.restarts == count
        if ran_s >= restarts.STEADY_S:
            assert delay_s == restarts.FIRST_DELAY_S
        else:
            assert delay_s == min(max(2 * last_s, restarts.FIRST_DELAY_S), restarts.LONGEST_DELAY_S)
        last_s = delay_s


def test_waiting_for_a_process_is_given_up_only_before_it_was_ever_ready() -> None:
    once, _ = restarts.ended(restarts.History(), 0)
    twice, _ = restarts.ended(once, 0)
    thrice, _ = restarts.ended(twice, 0)
    assert restarts.hopeless(once, restarts.WRONG_SETTING)
    assert [restarts.hopeless(h, 1) for h in (once, twice, thrice)] == [False, False, True]
    assert not restarts.hopeless(restarts.History(3, 3, was_ready=True), 1)


def _state(pid: int, when: str | None) -> StackState:
    process = RunningProcess(
        name="gateway",
        kind="service",
        state="ready",
        pid=pid,
        born=when,
        port=80,
        url="http://127.0.0.1:80",
        log=Path("/x/gateway.log"),
        restarts=0,
    )
    return StackState(
        supervisor_pid=pid,
        supervisor_born=when,
        gateway_url="http://127.0.0.1:80",
        monitor_url=None,
        kafka="127.0.0.1:1",
        database_url="postgresql://shipway:x@127.0.0.1:2/shipway",
        objects_url="file:///x",
        processes=(process,),
    )


def test_the_state_is_read_while_its_writer_lives_and_stale_after(tmp_path: Path) -> None:
    assert read_state(tmp_path) is None
    alive = _state(os.getpid(), born(os.getpid()))
    write_state(tmp_path, alive)
    assert read_state(tmp_path) == alive
    assert alive.service_urls == {"gateway": "http://127.0.0.1:80"}
    assert (tmp_path / "stack.json").stat().st_mode & 0o777 == 0o600
    assert json.loads((tmp_path / "stack.json").read_text())["schema_version"] == 1
    # The pid came to another process since.
    stale = _state(os.getpid(), "long ago")
    write_state(tmp_path, stale)
    assert read_state(tmp_path) is None
    assert last_state(tmp_path) == stale
    (tmp_path / "stack.json").write_text('{"schema_version": 99}')
    assert read_state(tmp_path) is None
    remove_state(tmp_path)
    assert last_state(tmp_path) is None


def test_a_data_folder_has_one_supervisor(tmp_path: Path) -> None:
    with locked(tmp_path):
        write_state(tmp_path, _state(os.getpid(), born(os.getpid())))
        message = rf"already runs on .* \(pid {os.getpid()}\): stop it with 'shipway down'"
        with pytest.raises(StackRunning, match=message), locked(tmp_path):
            pass
    with locked(tmp_path):
        pass


def test_a_stack_on_s3_is_read_with_the_keys_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = _state(os.getpid(), born(os.getpid()))
    write_state(tmp_path, running.model_copy(update={"objects_url": "s3://models"}))
    monkeypatch.setenv("SHIPWAY__OBJECTS__URL", "s3://models")
    monkeypatch.setenv("SHIPWAY__OBJECTS__ENDPOINT", "https://s3.example:9443")
    for found in (objects(tmp_path), addresses(tmp_path).objects):
        assert (found.url, found.endpoint) == ("s3://models", "https://s3.example:9443")
    write_state(tmp_path, running.model_copy(update={"objects_url": "file:///its/own"}))
    assert {objects(tmp_path).url, addresses(tmp_path).objects.url} == {"file:///its/own"}

"""What the deployment files promise, as far as reading them can show."""

from __future__ import annotations

from typing import Any

import click
import pytest

from deploy.compose import ROOT, Service, health_command, load_compose, seconds
from deploy.dockerfile import exec_form, read_stages
from stepwire_cli.main import main
from stepwire_core.settings import Settings

SCALED = ("worker", "gateway")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return load_compose()


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Service]:
    found: dict[str, Service] = compose["services"]
    return found


def test_every_service_has_a_health_check_and_comes_back_after_a_crash(
    services: dict[str, Service],
) -> None:
    for service in services.values():
        assert health_command(service)
        assert service["restart"] == "unless-stopped"


def test_services_start_when_what_they_need_is_healthy(services: dict[str, Service]) -> None:
    needs = {name: service.get("depends_on", {}) for name, service in services.items()}
    assert {name: list(needed) for name, needed in needs.items()} == {
        "redis": [],
        "worker": ["redis"],
        "gateway": ["redis"],
        "proxy": ["gateway"],
    }
    for needed in needs.values():
        for condition in needed.values():
            assert condition["condition"] == "service_healthy"


def test_only_the_proxy_is_reached_from_outside_and_from_this_machine_alone(
    services: dict[str, Service],
) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {"proxy": ["127.0.0.1:8000:8000"]}


def test_workers_and_gateways_can_be_scaled(services: dict[str, Service]) -> None:
    for name in SCALED:
        assert not {"ports", "container_name", "hostname"} & services[name].keys()


def test_redis_keeps_its_data_on_a_volume(compose: dict[str, Any]) -> None:
    redis = compose["services"]["redis"]
    command = " ".join(redis["command"])
    assert "--appendonly yes" in command
    assert "--appendfsync everysec" in command
    volume, folder = redis["volumes"][0].split(":")
    assert folder == "/data"
    assert volume in compose["volumes"]


@pytest.mark.parametrize("grace_s", ["20", "300"])
def test_processes_are_stopped_later_than_they_stop_by_themselves(grace_s: str) -> None:
    services = load_compose(STEPWIRE_GRACE_S=grace_s)["services"]
    for name in SCALED:
        assert seconds(services[name]["stop_grace_period"]) >= float(grace_s) + 30


def test_the_default_grace_is_that_of_the_settings(services: dict[str, Service]) -> None:
    grace_s = Settings.model_fields["grace_s"].default
    assert seconds(services["gateway"]["stop_grace_period"]) == 60 + grace_s


def test_the_proxy_and_the_gateway_refuse_bodies_of_the_same_size() -> None:
    for name in ("max_body_bytes", "elements_max_bytes"):
        variable, default = f"STEPWIRE_{name.upper()}", Settings.model_fields[name].default
        for given, bytes_ in ({}, default), ({variable: "4096"}, 4096):
            environment = load_compose(**given)["services"]["proxy"]["environment"]
            assert int(environment[variable]) == bytes_


def test_every_setting_can_be_given_from_outside(services: dict[str, Service]) -> None:
    known = {f"STEPWIRE_{name.upper()}" for name in Settings.model_fields}
    environment = services["gateway"]["environment"]
    assert {name for name in environment if name.startswith("STEPWIRE_")} == known
    assert services["worker"]["environment"].keys() <= environment.keys()


def test_users_name_their_handlers_by_two_variables() -> None:
    worker = load_compose(APP_DIR="./mine", APP="bot.py")["services"]["worker"]
    assert worker["command"][-1] == "bot.py"
    assert worker["volumes"] == ["./mine:/app:ro"]


def test_commands_of_services_are_commands_of_ours(services: dict[str, Service]) -> None:
    for name in SCALED:
        program, command, *arguments = services[name]["command"]
        assert program == "stepwire"
        _parse(command, arguments)
    program, command, *arguments = health_command(services["worker"])
    assert program == "stepwire"
    _parse(command, arguments)


def _parse(name: str, arguments: list[str]) -> None:
    """Raises if the command line has no such command, or the command no such argument."""
    command = main.commands[name]
    command.make_context(name, list(arguments), parent=click.Context(main))


def test_images_are_targets_of_the_dockerfile_and_start_like_the_services(
    services: dict[str, Service],
) -> None:
    stages = read_stages()
    for name in SCALED:
        stage = stages[services[name]["build"]["target"]]
        assert exec_form(stage.last("CMD"))[:2] == services[name]["command"][:2]
        assert stage.health_command()[:2] == health_command(services[name])[:2]


def test_processes_in_the_images_are_not_root() -> None:
    stages = read_stages()
    for name in SCALED:
        assert stages[name].base == "runtime"
        assert "USER" not in {word for word, _ in stages[name].instructions}
    assert stages["runtime"].last("USER") == "stepwire"


def test_images_take_from_the_build_stage_their_packages_alone() -> None:
    stages = read_stages()
    for name in SCALED:
        assert stages[name].every("COPY") == [f"--from=build /opt/{name} /opt/{name}"]


def test_the_build_context_has_what_the_dockerfile_copies() -> None:
    allowed = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {path for copy in read_stages()["build"].every("COPY") for path in copy.split()[:-1]}
    assert copied == allowed

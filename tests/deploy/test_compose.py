"""What the deployment files promise, as far as reading them can show."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

import click
import pytest

from deploy.compose import ROOT, Service, health_command, load_compose, seconds
from deploy.dockerfile import BUILDING, exec_form, read_stages
from stepwire_cli.main import main
from stepwire_core.settings import ENV_FILE, Settings

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
    proxy = load_compose(PUBLISH="192.0.2.1:80")["services"]["proxy"]
    assert proxy["ports"] == ["192.0.2.1:80:8000"]
    assert proxy["environment"]["PUBLISH"] == "192.0.2.1:80"


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


def test_workers_get_no_setting_that_is_the_gateways(services: dict[str, Service]) -> None:
    own = {"HOME", ENV_FILE}
    gateway, worker = (set(services[name]["environment"]) for name in ("gateway", "worker"))
    assert worker - gateway == own
    assert not [name for name in worker if re.search("AUTH|API_KEYS|CORS|FORWARDED", name)]
    # Nor by the file that has them; the handlers' folder may be the one in which it lies.
    assert services["worker"]["env_file"] == [{"path": "worker.env", "required": False}]
    assert services["worker"]["environment"][ENV_FILE] == ""
    for name in ("gateway", "proxy", "redis"):
        assert "env_file" not in services[name]


def test_what_handlers_need_is_named_by_a_variable() -> None:
    requirements = "# ours\nhttpx==0.28.1 \\\n    --hash=sha256:00\nrich\n"
    worker = load_compose(WORKER_REQUIREMENTS=requirements)["services"]["worker"]
    assert worker["build"]["args"] == [f"REQUIREMENTS={requirements}"]


def test_every_container_is_bounded_and_may_do_little(services: dict[str, Service]) -> None:
    for service in services.values():
        assert service["read_only"] is True
        assert service["tmpfs"] == ["/tmp"]  # noqa: S108
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["pids_limit"] > 0
        assert service["mem_limit"]
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    for name in ("redis", "proxy"):
        assert services[name]["user"] not in ("", "root", "0")


def test_redis_refuses_before_it_is_killed(services: dict[str, Service]) -> None:
    command = " ".join(services["redis"]["command"])
    assert "--maxmemory 1gb --maxmemory-policy noeviction" in command
    assert services["redis"]["mem_limit"] == "2g"


def test_the_proxy_stops_at_once_and_has_no_way_to_redis(services: dict[str, Service]) -> None:
    assert services["proxy"]["stop_signal"] == "SIGTERM"
    networks = {name: set(service["networks"]) for name, service in services.items()}
    assert not networks["proxy"] & networks["redis"]
    assert networks["proxy"] & networks["gateway"]


def test_no_health_check_starts_python(services: dict[str, Service]) -> None:
    commands = [health_command(service) for service in services.values()]
    for command in [*commands, read_stages()["runtime"].health_command()]:
        assert not re.search(r"python|stepwire ", " ".join(command)), command


def test_every_variable_of_the_compose_file_is_in_the_documents() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    names = set(re.findall(r"[^$]\$\{(\w+)", text)) - {
        f"STEPWIRE_{name.upper()}" for name in Settings.model_fields
    }
    table = (ROOT / "docs/operations.md").read_text().split("## With Docker Compose")[1]
    assert len(names) > 8
    for name in names:
        assert f"`{name}`" in table, name


def test_the_picture_shows_the_services_networks_and_volumes(compose: dict[str, Any]) -> None:
    text = set(ET.parse(ROOT / "docs/compose.svg").getroot().itertext())  # noqa: S314
    for kind in ("services", "networks", "volumes"):
        assert set(compose[kind]) <= text


def test_users_name_their_handlers_by_two_variables() -> None:
    worker = load_compose(APP_DIR="./mine", APP="bot.py")["services"]["worker"]
    assert worker["command"][-1] == "bot.py"
    assert worker["volumes"] == ["./mine:/app:ro"]


def test_commands_of_services_are_commands_of_ours(services: dict[str, Service]) -> None:
    for name in SCALED:
        program, command, *arguments = services[name]["command"]
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
    # Podman builds images without a health check.
    assert stages["runtime"].health_command() == health_command(services["worker"])


def test_processes_in_the_images_are_not_root() -> None:
    stages = read_stages()
    for name in SCALED:
        assert stages[name].base == "runtime"
        users = [*stages["runtime"].every("USER"), *stages[name].every("USER")]
        # By number: of a name Kubernetes cannot tell whether it is root.
        assert users[-1] == "10001:10001"


def test_a_changed_line_of_ours_is_copied_after_all_that_it_stands_on() -> None:
    stages = read_stages()
    for name in SCALED:
        assert stages[name].every("COPY") == [
            f"--from=packages /opt/{name} /opt/{name}",
            f"--from=own /own/{name} /opt/{name}",
        ]
    copied = " ".join(stages["build"].every("COPY") + stages["packages"].every("COPY")).split()
    assert not {"cli", "gateway", "shared", "worker"} & set(copied)


def test_the_build_context_has_what_the_dockerfile_copies() -> None:
    allowed = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    stages = read_stages()
    copies = [copy for name in BUILDING for copy in stages[name].every("COPY")]
    copied = {path for copy in copies for path in copy.split()[:-1]}
    assert copied == allowed

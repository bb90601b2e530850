"""What runs, as whom, with which rights, and with which secrets."""

from __future__ import annotations

import pytest

from compose.project import Project

SERVICES = ["gateway-1", "gateway-2", "proxy-1", "redis-1", "worker-1", "worker-2", "worker-3"]


def test_all_seven_are_healthy(project: Project) -> None:
    names = [f"{project.name}-{service}" for service in SERVICES]
    assert project.containers() == names
    for name in names:
        project.wait_until_healthy(name)


@pytest.mark.parametrize("service", SERVICES)
def test_no_process_in_a_container_is_root_or_can_become_it(project: Project, service: str) -> None:
    processes = list(project.processes(f"{project.name}-{service}"))
    assert processes
    for process in processes:
        status = dict(
            line.split(":\t", 1) for line in (process / "status").read_text().splitlines()
        )
        assert "0" not in status["Uid"].split(), status["Name"]
        assert int(status["CapBnd"], 16) == 0, status["Name"]
        assert status["NoNewPrivs"] == "1", status["Name"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_writes_to_its_tmp_alone_and_is_bounded(project: Project, service: str) -> None:
    name = f"{project.name}-{service}"
    docker = project.engine.docker
    assert docker("exec", name, "touch", "/tmp/there").returncode == 0  # noqa: S108
    for path in ("/etc/there", "/there", "/var/there"):
        refused = docker("exec", name, "touch", path, check=False)
        assert "Read-only file system" in refused.stderr
    host = project.inspect(name)["HostConfig"]
    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0
    assert host["LogConfig"]["Config"].keys() >= {"max-size", "max-file"}


def test_processes_of_ours_have_a_number_for_a_user(project: Project) -> None:
    for service in ("worker-1", "gateway-1"):
        config = project.inspect(f"{project.name}-{service}")["Config"]
        assert config["User"] == "10001:10001"


def test_workers_have_the_keys_of_handlers_and_none_of_the_gateways(project: Project) -> None:
    environments = {
        service: [
            dict(
                variable.split("=", 1)
                for variable in (process / "environ").read_text().split("\0")
                if variable
            )
            for process in project.processes(f"{project.name}-{service}-1")
        ]
        for service in ("worker", "gateway")
    }
    secret = {"STEPWIRE_AUTH_SECRETS", "STEPWIRE_API_KEYS"}
    for environment in environments["gateway"]:
        assert environment.keys() >= secret
        assert "HANDLER_KEY" not in environment
    for environment in environments["worker"]:
        assert not environment.keys() & secret
        assert environment["HANDLER_KEY"] == "of the handler"
        assert project.api_key not in environment.values()


def test_the_proxy_reaches_no_redis(project: Project) -> None:
    docker, proxy = project.engine.docker, project.container("proxy")
    assert docker("exec", proxy, "nslookup", "gateway").stdout
    refused = docker("exec", proxy, "nslookup", "redis", check=False)
    assert refused.returncode != 0


def test_publishing_a_gateway_without_authentication_is_refused(project: Project) -> None:
    # Without a colon any address of the machine would do.
    published = {"PUBLISH": "0", "STEPWIRE_AUTH_SECRETS": "", "STEPWIRE_API_KEYS": ""}
    refused = project.compose("run", "--rm", "--no-deps", "proxy", check=False, **published)
    assert refused.returncode == 1
    assert "opens a gateway without authentication to the network" in refused.stderr
    assert "STEPWIRE_AUTH_OPEN=true" in refused.stderr


def test_the_proxy_looks_names_up_where_its_container_does(project: Project) -> None:
    docker, proxy = project.engine.docker, project.container("proxy")
    config = docker("exec", proxy, "cat", "/tmp/nginx.conf").stdout  # noqa: S108
    resolver = docker("exec", proxy, "cat", "/etc/resolv.conf").stdout.split("nameserver ")[1]
    assert f"resolver {resolver.split()[0]} " in config

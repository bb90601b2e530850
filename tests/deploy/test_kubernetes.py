"""The manifests: by the schemas of Kubernetes, and of one mind with each other and with us."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml

from promql import panels
from stepwire_core.settings import ENV_FILE, Settings

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
FOLDER: Final = DEPLOY / "kubernetes"
VERSIONS: Final = ("1.29", "1.37")

# Kinds that others define: their schemas are not among those of Kubernetes.
FOREIGN: Final = {"ScaledObject", "PodMonitor"}

Manifest = dict[str, Any]


def manifests(*files: str) -> list[Manifest]:
    return [
        manifest
        for file in files
        for manifest in yaml.safe_load_all((FOLDER / file).read_text())
        if manifest is not None
    ]


FILES: Final = [
    str(path.relative_to(FOLDER))
    for path in sorted(FOLDER.rglob("*.yaml"))
    if path.name != "kustomization.yaml"
]

BASE: Final = manifests("base/settings.yaml", "base/gateway.yaml", "base/worker.yaml")


@pytest.fixture(scope="module")
def rendered() -> list[Manifest]:
    """The example, as ``kubectl apply -k`` would send it."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not here")
    done = subprocess.run(
        [kubectl, "kustomize", str(FOLDER / "example")],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"KUBECONFIG": "/dev/null"},
    )
    return list(yaml.safe_load_all(done.stdout))


def is_valid(manifest: Manifest) -> None:
    if manifest["kind"] not in FOREIGN:
        for version in VERSIONS:
            kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("file", FILES)
def test_a_manifest_is_what_the_api_takes(file: str) -> None:
    for manifest in manifests(file):
        is_valid(manifest)


def test_what_the_example_becomes_is_what_the_api_takes(rendered: list[Manifest]) -> None:
    for manifest in rendered:
        is_valid(manifest)
    found = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in rendered}
    wanted = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in BASE}
    assert wanted <= found
    assert {"ScaledObject", "PodMonitor", "StatefulSet", "Ingress"} <= {kind for kind, _ in found}


def test_a_manifest_that_is_wrong_is_found() -> None:
    [gateway] = deployments(BASE, "gateway")
    broken = yaml.safe_load(yaml.safe_dump(gateway))
    broken["spec"]["template"]["spec"]["terminationGracePeriod"] = 5
    with pytest.raises(kubernetes_validate.ValidationError):
        is_valid(broken)


def deployments(of: list[Manifest], *names: str) -> list[Manifest]:
    return [
        manifest
        for manifest in of
        if manifest["kind"] == "Deployment" and manifest["metadata"]["name"] in names
    ]


def variables(deployment: Manifest) -> dict[str, str]:
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    return {item["name"]: item["value"] for item in container["env"]}


def test_every_setting_is_one_of_ours() -> None:
    ours = {f"STEPWIRE_{name.upper()}" for name in Settings.model_fields} | {ENV_FILE}
    [settings] = [manifest for manifest in BASE if manifest["kind"] == "ConfigMap"]
    named = set(settings["data"])
    for deployment in deployments(BASE, "gateway", "worker"):
        named |= set(variables(deployment))
    assert {name for name in named if name.startswith("STEPWIRE_")} <= ours
    values = {
        name.removeprefix("STEPWIRE_").lower(): value
        for name, value in settings["data"].items()
        if name != ENV_FILE
    }
    assert Settings.model_validate(values).log_format == "json"


@pytest.mark.parametrize("name", ["gateway", "worker"])
def test_a_pod_has_time_to_end_what_it_does(name: str) -> None:
    [deployment] = deployments(BASE, name)
    pod = deployment["spec"]["template"]["spec"]
    [container] = pod["containers"]
    grace_s = float(variables(deployment)["STEPWIRE_GRACE_S"])
    before_s = 0.0
    if "lifecycle" in container:
        before_s = float(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] >= grace_s + before_s + 15


@pytest.mark.parametrize("name", ["gateway", "worker"])
def test_a_pod_may_do_nothing_that_it_need_not(name: str) -> None:
    [deployment] = deployments(BASE, name)
    pod = deployment["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    # A service `stepwire` of another deployment would set STEPWIRE_PORT.
    assert pod["enableServiceLinks"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]


def test_budgets_scalers_and_monitors_mean_pods_that_are_there() -> None:
    pods = {
        (manifest["metadata"]["name"]): manifest["spec"]["template"]
        for manifest in deployments(BASE, "gateway", "worker")
    }
    for manifest in BASE:
        if manifest["kind"] == "PodDisruptionBudget":
            template = pods[manifest["metadata"]["name"]]
            labels = manifest["spec"]["selector"]["matchLabels"]
            assert labels.items() <= template["metadata"]["labels"].items()
            assert manifest["spec"]["maxUnavailable"] == 1
    for scaled in manifests("components/keda/scaling.yaml"):
        assert scaled["spec"]["scaleTargetRef"]["name"] in pods
        assert scaled["spec"]["minReplicaCount"] >= 2
    for monitor in manifests("components/prometheus/pod-monitors.yaml"):
        template = pods[monitor["metadata"]["name"]]
        labels = monitor["spec"]["selector"]["matchLabels"]
        assert labels.items() <= template["metadata"]["labels"].items()
        [endpoint] = monitor["spec"]["podMetricsEndpoints"]
        ports = [port["name"] for port in template["spec"]["containers"][0]["ports"]]
        assert endpoint["port"] in ports


def test_every_secret_and_map_that_is_named_is_there(rendered: list[Manifest]) -> None:
    there = {
        manifest["metadata"]["name"]
        for manifest in rendered
        if manifest["kind"] in ("Secret", "ConfigMap")
    }
    named = {name for manifest in rendered for name in references(manifest)}
    # The first is optional, the second comes from cert-manager, or from you.
    assert named - there == {"stepwire-worker", "agents-example-tls"}


def references(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for part in value:
            yield from references(part)
    elif isinstance(value, dict):
        for key, part in value.items():
            if key in ("configMapRef", "secretRef", "secretKeyRef", "credentials"):
                yield part["name"]
            elif key == "secretName":
                yield part
            else:
                yield from references(part)


def test_scaled_deployments_have_no_count_of_their_own(rendered: list[Manifest]) -> None:
    for deployment in deployments(rendered, "gateway", "worker"):
        assert "replicas" not in deployment["spec"]


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    places = [panel["gridPos"] for panel in panels()]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_units_of_systemd_are_in_order(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not here")
    for unit in (DEPLOY / "systemd").iterdir():
        text = unit.read_text().replace("/opt/stepwire/bin/stepwire", "/bin/true")
        (tmp_path / unit.name.replace("@.", "@1.")).write_text(text)
    done = subprocess.run(
        [analyze, "verify", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("unit", ["stepwire-gateway.service", "stepwire-worker@.service"])
def test_a_unit_gives_its_process_time_to_end(unit: str) -> None:
    text = (DEPLOY / "systemd" / unit).read_text()
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    grace_s = Settings.model_fields["grace_s"].default
    if "STEPWIRE_GRACE_S=" in text:
        grace_s = float(text.partition("STEPWIRE_GRACE_S=")[2].split()[0])
    assert float(lines["TimeoutStopSec"]) >= grace_s + 15
    for name in re.findall(r"STEPWIRE_[A-Z_]+", text):
        field = name.removeprefix("STEPWIRE_").lower()
        assert name == ENV_FILE or field in Settings.model_fields

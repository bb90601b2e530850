"""The images: the layers that a change rebuilds, and packages that handlers need."""

from __future__ import annotations

import re
from pathlib import Path

from compose.conftest import FOLDER
from compose.project import Project
from deploy.compose import ROOT

PACKAGES_BYTES = 10_000_000
"""Ours is less, what it stands on is more."""


def test_handlers_have_the_packages_of_their_requirements(project: Project) -> None:
    installed = "import importlib.metadata as m; print(m.version('iniconfig'))"
    worker = project.container("worker")
    shown = project.engine.docker("exec", worker, "python", "-c", installed)
    assert f"iniconfig=={shown.stdout.strip()}" in (FOLDER / "app/requirements.txt").read_text()


def test_requirements_that_would_break_the_worker_are_refused_while_it_is_built(
    project: Project,
) -> None:
    refused = project.compose("build", "worker", check=False, WORKER_REQUIREMENTS="redis==6.4.0")
    assert refused.returncode != 0
    said = refused.stdout + refused.stderr
    assert re.search(r"arq .*has requirement redis.*, but you have redis 6", said), said


def test_a_changed_line_of_ours_leaves_the_layers_of_packages_alone(project: Project) -> None:
    module = project.folder / "worker/stepwire/_worker/arq_worker.py"
    image = project.env["WORKER_IMAGE"]
    before = _layers(project, image)
    module.write_text(module.read_text() + "# a line more\n")
    project.compose("build", "worker")
    after = _layers(project, image)
    same = [layer for layer in after if layer in before]
    # The last two are our code, and what the handlers need.
    assert after[: len(same)] == same
    assert len(same) == len(after) - 2
    sizes = project.engine.docker("history", "--format", "{{.Size}}", "--human=false", image)
    *_, ours, _ = [size for size in map(int, sizes.stdout.split()[::-1]) if size]
    assert ours < PACKAGES_BYTES < sum(map(int, sizes.stdout.split()))


def test_an_image_of_your_own_is_made_as_the_dockerfile_says(
    project: Project, tmp_path: Path
) -> None:
    [text] = re.findall(
        r"^(#   FROM .*?\n)#\n", (ROOT / "Dockerfile").read_text(), re.MULTILINE | re.DOTALL
    )
    lines = text.replace("#   ", "").replace("FROM stepwire-worker", "FROM stepwire-test-worker")
    (tmp_path / "Dockerfile").write_text(lines)
    for file in (FOLDER / "app").iterdir():
        if file.is_file():
            (tmp_path / file.name).write_text(file.read_text())
    project.engine.docker("build", "--quiet", "--tag", "stepwire-test-own", str(tmp_path))
    files = ("--file", "docker-compose.yml", "--file", "deploy/own-worker.yml")
    code = "import app, os; print(os.getuid(), app.PACKAGE)"
    ran = project.compose(
        *(*files, "run", "--rm", "--no-deps", "worker", "python", "-c", code),
        WORKER_IMAGE="stepwire-test-own",
        # Nothing of it is mounted.
        APP_DIR="./does-not-exist",
    )
    assert ran.stdout.split() == ["10001", "iniconfig"]


def _layers(project: Project, image: str) -> list[str]:
    layers: list[str] = project.inspect(image)["RootFS"]["Layers"]
    return layers

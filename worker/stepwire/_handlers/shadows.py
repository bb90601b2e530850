"""Users' files that are named like a module of Python or of an installed package.

Python lets the folder of a script go before everything: a ``calendar.py`` in it is then what every
library gets that imports ``calendar``. Here the standard library goes first, and the file of the
handlers never takes the place of an installed module. Their neighbours go before what is installed:
they are the user's program, whose ``config.py`` is the one that is meant.
"""

from __future__ import annotations

import sys
import sysconfig
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_OURS: Final = frozenset({"stepwire", "stepwire_core", "stepwire_cli", "stepwire_gateway"})


def put_on_path(folder: Path) -> None:
    """Let modules of the folder be found before installed ones, but not before Python's own."""
    standard = [entry for entry in sys.path if Path(entry).resolve() in _standard_library()]
    first = [*standard, str(folder)]
    sys.path[:] = [*first, *(entry for entry in sys.path if entry not in first)]


def module_name(path: Path) -> str:
    """The name to load a file under: its own, unless another module needs that one."""
    name = path.stem
    if not is_shadow(path):
        return name
    if name not in sys.stdlib_module_names:
        sys.meta_path.insert(0, _InstalledFirst(name))
    return f"_stepwire_app_{name}"


def shadows(folder: Path) -> list[Path]:
    """The modules and packages in a folder that have the name of one from elsewhere."""
    packages = (path.parent for path in folder.glob("*/__init__.py"))
    found = (path for path in (*folder.glob("*.py"), *packages) if is_shadow(path))
    # Any package may have a __main__.py; no code imports it by that name.
    return sorted(path for path in found if path.stem != "__main__")


def is_shadow(path: Path) -> bool:
    """Whether a module or package has the name of one of Python's, of ours, or an installed one."""
    name = path.stem
    return (
        name == "__main__"
        or name in sys.stdlib_module_names
        or name in _OURS
        or _installed(name) is not None
    )


class _InstalledFirst:
    """Finds the installed module of one name, wherever else there is one."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As of a finder on ``sys.meta_path``."""
        del path, target
        return _installed(name) if name == self._name else None


def _installed(name: str) -> ModuleSpec | None:
    spec = PathFinder.find_spec(name, list(_site_packages()))
    # A folder without an __init__.py is a namespace; it may have been left there by accident.
    return None if spec is None or spec.origin is None else spec


def _standard_library() -> frozenset[Path]:
    paths = sysconfig.get_path("stdlib"), sysconfig.get_config_var("DESTSHARED")
    return frozenset(Path(path).resolve() for path in paths if path)


def _site_packages() -> Iterator[str]:
    for entry in sys.path:
        if Path(entry).name in {"site-packages", "dist-packages"}:
            yield entry

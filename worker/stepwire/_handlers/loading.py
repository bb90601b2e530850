"""How the module with the user's handlers is loaded."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stepwire._handlers.registry import Handlers, collecting
from stepwire._handlers.shadows import module_name, put_on_path, shadows
from stepwire_core.errors import HandlerModuleError

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger("stepwire.loading")


def load_handlers(target: str) -> Handlers:
    """Import a file (``app.py``, ``path/to/app.py``) or module (``package.app``) and collect its
    handlers.

    The file's folder, or the working directory for a module, is put on the import path, before all
    that is installed and behind the standard library: a ``json.py`` in it is not what a library
    gets that imports ``json``. A file with such a name, or with that of an installed module, is
    loaded under a name of its own, and a line in the log says what to rename.

    Raises:
        HandlerModuleError: the file or module does not exist, raises, or defines no handler;
            the message has the traceback, down to the user's line.
    """
    with collecting() as handlers:
        if names_file(target):
            _import_file(Path(target))
        else:
            _import_module(target)
    if not handlers.functions:
        raise HandlerModuleError(
            f"{target} defines no handler: decorate a function with @cl.on_message, "
            "@cl.on_chat_start or @cl.task"
        )
    return handlers


def names_file(target: str) -> bool:
    """Whether it is the path of a file, and not the name of a module."""
    return target.endswith(".py") or "/" in target or target.startswith(".")


def _import_file(path: Path) -> None:
    if not path.is_file():
        raise HandlerModuleError(f"no file {path}: give the path of the module with your handlers")
    path = path.resolve()
    name = module_name(path)
    _look_in(path.parent)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise HandlerModuleError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # Known under its name, so that pickles, dataclasses and tracebacks find it.
    sys.modules[name] = module
    with _explained(str(path)):
        spec.loader.exec_module(module)


def _import_module(name: str) -> None:
    _look_in(Path.cwd())
    with _explained(name):
        importlib.import_module(name)


def _look_in(folder: Path) -> None:
    put_on_path(folder)
    if found := shadows(folder):
        logger.warning(
            "a file has the name of a module of Python or of an installed package, and either may "
            "hide the other: rename the file",
            extra={"files": ", ".join(map(str, found))},
        )


@contextmanager
def _explained(target: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise HandlerModuleError(
            f"{target} cannot be imported:\n\n{_user_traceback(error)}"
        ) from error


def _user_traceback(error: Exception) -> str:
    """The traceback without the frames of the import system and of this module."""
    frames = traceback.TracebackException.from_exception(error)
    frames.stack = traceback.StackSummary.from_list(
        frame
        for frame in frames.stack
        if not frame.filename.startswith("<frozen") and frame.filename != __file__
    )
    return "".join(frames.format()).rstrip()

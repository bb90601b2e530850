"""How the user's module is found and loaded, and the message when it is not."""

from __future__ import annotations

import importlib
import inspect
import runpy
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

import stepwire as cl
from stepwire import errors
from stepwire._handlers.loading import load_handlers
from stepwire._handlers.registry import collecting, process_wide, takes_argument
from stepwire_core import errors as core_errors
from stepwire_core.errors import HandlerModuleError, HandlerNotFound, InvalidArgument


@pytest.fixture(autouse=True)
def _restored_imports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in [name for name in sys.modules if name.startswith("user_app")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.chdir(tmp_path)


def _write(name: str, text: str) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


APP = """
import stepwire as cl
{more}

@cl.on_chat_start
async def hello(): ...

@cl.on_message
async def main(message): ...

@cl.task
def index(path): ...

@cl.task(name="re-index")
def again(): ...
"""


def test_a_file_is_loaded_with_its_neighbours() -> None:
    _write("folder/user_app_helper.py", "VALUE = 1")
    path = _write("folder/user_app.py", APP.format(more="from user_app_helper import VALUE"))
    handlers = load_handlers(str(path))
    assert sorted(handlers.functions) == ["index", "on_chat_start", "on_message", "re-index"]
    with pytest.raises(HandlerNotFound, match="it has: index, on_chat_start, on_message, re-index"):
        handlers.get("nope")


def test_a_module_is_loaded_by_its_name() -> None:
    _write("user_app_pkg/__init__.py", "")
    _write("user_app_pkg/bot.py", APP.format(more="from . import __name__ as x"))
    assert "on_message" in load_handlers("user_app_pkg.bot").functions


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n1 / 0\n", ["user_app.py", "line 2", "1 / 0", "ZeroDivisionError"]),
        ("def f(:\n", ["user_app.py", "line 1", "SyntaxError"]),
        ("import nowhere_to_be_found\n", ["No module named 'nowhere_to_be_found'", "line 1"]),
        ("x = 1\n", ["defines no handler", "@cl.on_message"]),
    ],
)
def test_a_module_that_cannot_be_used_says_where(text: str, said: list[str]) -> None:
    path = _write("user_app.py", text)
    with pytest.raises(HandlerModuleError) as raised:
        load_handlers(str(path))
    for part in said:
        assert part in str(raised.value)
    assert "_handlers.py" not in str(raised.value)
    assert "frozen" not in str(raised.value)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(HandlerModuleError, match=r"no file missing\.py"):
        load_handlers("missing.py")


def test_handlers_of_two_modules_do_not_mix() -> None:
    with collecting() as first:
        cl.on_message(lambda: None)
    with collecting() as second:
        cl.task(name="x")(lambda: None)
    assert (list(first.functions), list(second.functions)) == (["on_message"], ["x"])


def test_a_task_cannot_take_the_name_of_a_handler() -> None:
    with collecting(), pytest.raises(InvalidArgument, match="cannot be called 'on_message'"):
        cl.task(name="on_message")


def test_decorating_something_else_than_a_function_is_refused() -> None:
    with collecting(), pytest.raises(InvalidArgument, match="takes a function, not int"):
        cl.on_message(7)  # type: ignore[call-overload]


TWICE = """
import stepwire as cl

@cl.task
def index(path): ...

{decorator}
def {name}(path): ...

@cl.on_message
def main(): ...
"""


@pytest.mark.parametrize(
    ("decorator", "name", "said", "lines"),
    [
        ("@cl.task", "index", "task 'index' is defined twice: in ", (4, 7)),
        ("@cl.task(name='index')", "other", "task 'index' is defined twice: in ", (4, 7)),
        ("@cl.on_message", "main", "@cl.on_message is used twice: in ", (7, 10)),
        ("@cl.on_message(max_attempts=2)", "f", "@cl.on_message is used twice: in ", (7, 10)),
    ],
)
def test_two_handlers_of_one_name_are_refused_and_both_places_named(
    decorator: str, name: str, said: str, lines: tuple[int, int]
) -> None:
    path = _write("user_app.py", TWICE.format(decorator=decorator, name=name)).resolve()
    with pytest.raises(HandlerModuleError, match="cannot be imported") as raised:
        load_handlers(str(path))
    first, second = lines
    assert f"{said}{path}, line {first}, and in {path}, line {second}; " in str(raised.value)


def test_two_handlers_of_one_name_are_refused_in_two_modules_too() -> None:
    helper = _write("user_app_helper.py", "import stepwire as cl\n@cl.task\ndef index(): ...\n")
    app = _write("user_app.py", APP.format(more="import user_app_helper"))
    with pytest.raises(HandlerModuleError, match="defined twice") as raised:
        load_handlers("user_app.py")
    assert f"{helper.resolve()}, line 2, and in {app.resolve()}, line " in str(raised.value)


def test_a_module_that_is_read_again_replaces_its_own_handlers() -> None:
    path = _write("user_app.py", APP.format(more=""))
    sys.path.insert(0, str(Path.cwd()))
    with collecting() as handlers:
        module = importlib.import_module("user_app")
        first = handlers.get("index")
        importlib.reload(module)
        assert handlers.get("index") is module.index is not first
        # Its lines and the name of a function have changed: it is still the same module.
        path.write_text(APP.format(more="\nx = 1\n").replace("async def main", "async def newer"))
        importlib.invalidate_caches()
        importlib.reload(module)
        assert handlers.get("on_message") is module.newer


def test_a_module_that_is_run_and_imported_by_its_name_has_its_handlers_once() -> None:
    path = _write("user_app.py", APP.format(more=""))
    sys.path.insert(0, str(Path.cwd()))
    with collecting() as handlers:
        runpy.run_path(str(path), run_name="__main__")
        module = importlib.import_module("user_app")
        assert handlers.get("index") is module.index


def test_tests_may_import_several_apps_and_the_last_one_counts() -> None:
    """Handlers outside any worker are those of a test run."""
    _write("user_app_one.py", APP.format(more=""))
    _write("user_app_two.py", APP.format(more=""))
    sys.path.insert(0, str(Path.cwd()))
    for name in ("user_app_one", "user_app_two"):
        module = importlib.import_module(name)
        assert process_wide.get("index") is module.index

    def of_a_test() -> None: ...

    cl.task(name="index")(of_a_test)
    with pytest.raises(InvalidArgument, match="task 'index' is defined twice"):
        cl.task(name="index")(of_a_test)
    for name in list(process_wide.functions):
        del process_wide.functions[name], process_wide.definitions[name]


def test_a_statement_that_is_executed_again_replaces_what_it_has_defined() -> None:
    def define() -> Callable[..., None]:
        @cl.task(name="index")
        def index() -> None: ...

        return index

    with collecting() as handlers:
        define()
        assert handlers.get("index") is not define() is handlers.get("index")


def test_whether_the_message_is_wanted_is_read_from_the_signature() -> None:
    assert takes_argument(lambda _message: None)
    assert not takes_argument(lambda: None)


def test_the_public_names_are_complete_and_documented() -> None:
    public = {
        name
        for name, value in vars(cl).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public | {"input_widget"} == set(cl.__all__)
    assert list(cl.__all__) == sorted(cl.__all__)
    for name in cl.__all__:
        assert getattr(cl, name).__doc__, name


def test_every_error_is_in_the_module_of_errors() -> None:
    own = {
        name
        for name, value in vars(core_errors).items()
        if inspect.isclass(value) and issubclass(value, core_errors.StepwireError)
    }
    assert own == set(errors.__all__)
    assert all(getattr(errors, name) is getattr(core_errors, name) for name in own)
    at_the_top = {name for name in cl.__all__ if name in own}
    assert all(getattr(cl, name) is getattr(errors, name) for name in at_the_top)


def test_the_version_is_that_of_the_distribution() -> None:
    assert cl.__version__ == version("stepwire")

"""The file with the handlers may be called whatever its author likes."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack import Stack, wait_until

APP = """
import dataclasses
import pickle
import sys
from pathlib import Path

import stepwire as cl

@dataclasses.dataclass
class Cup:
    tea: "str"

def brew():
    return Cup("green")

@cl.on_message
async def main(message):
    import calendar, json, queue, redis, secrets, tomllib, textwrap
    import neighbour
    for module in (calendar, json, queue, redis, secrets, tomllib, textwrap):
        assert Path(module.__file__).parent != Path(__file__).parent, module
    assert cl.Step.__module__ == "stepwire._tree.step"
    assert pickle.loads(pickle.dumps(brew))() == pickle.loads(pickle.dumps(Cup("green")))
    assert sys.modules[__name__].brew is brew
    if message.content == "fail":
        raise ValueError("on purpose")
    await cl.Message(neighbour.WHO).send()
"""

RENAME = "rename the file"


@pytest.mark.parametrize(
    "name",
    ["calendar.py", "json.py", "tomllib.py", "redis.py", "httpx.py", "stepwire.py", "__main__.py"],
)
def test_a_file_named_like_another_module_does_not_take_its_place(
    stack: Stack, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "bots"
    folder.mkdir()
    (folder / "neighbour.py").write_text("WHO = 'the neighbour'\nimport httpx\nhttpx.Client\n")
    path = folder / name
    path.write_text(APP)
    worker = stack.worker(path)
    assert (f"{RENAME} files={path}\n" in worker.output) == (name != "__main__.py")
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    assert gateway.wait_for_end(session, gateway.send(session, "hi")["run_id"])["status"] == "ok"
    assert gateway.snapshot(session)["steps"][-1]["output"] == "the neighbour"
    ended = gateway.wait_for_end(session, gateway.send(session, "fail")["run_id"])
    assert ended["error"] == {"type": "ValueError", "message": "on purpose"}
    line = APP.splitlines().index('        raise ValueError("on purpose")') + 1
    said = f'File "{path}", line {line}, in main'
    wait_until(lambda: said in worker.output, "its traceback is said", limit_s=10)


def test_its_neighbours_do_not_take_the_place_of_the_standard_library(
    stack: Stack, tmp_path: Path
) -> None:
    folder = tmp_path / "bots"
    (folder / "textwrap").mkdir(parents=True)
    for name in ("secrets.py", "json.py", "textwrap/__init__.py", "tomllib.py", "config.py"):
        (folder / name).write_text("raise RuntimeError('not meant')\n")
    (folder / "neighbour.py").write_text("WHO = 'the neighbour'")
    (folder / "app.py").write_text(APP)
    worker = stack.worker(folder / "app.py")
    named = [str(folder / name) for name in ("json.py", "secrets.py", "textwrap", "tomllib.py")]
    assert f"{RENAME} files={', '.join(named)}\n" in worker.output
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    ended = gateway.wait_for_end(session, gateway.send(session, "hi")["run_id"])
    assert (ended["status"], ended["error"]) == ("ok", None)


def test_of_other_names_nothing_is_said(stack: Stack, tmp_path: Path) -> None:
    folder = tmp_path / "bots"
    folder.mkdir()
    (folder / "neighbour.py").write_text("")
    (folder / "app.py").write_text(APP)
    assert RENAME not in stack.worker(folder / "app.py").output

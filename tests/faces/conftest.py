from __future__ import annotations

from pathlib import Path

import pytest

from faces.ui_chat import USECHAT
from npm_packages import installed
from stack import Gateway, Stack

APP = Path(__file__).with_name("app.py")


@pytest.fixture(scope="module")
def faces(shared_stack: Stack) -> Gateway:
    """A gateway with all faces, and a worker with the handlers of ``app.py``."""
    shared_stack.worker(APP)
    return shared_stack.gateway(STEPWIRE_FACES="aisdk")


@pytest.fixture(scope="session")
def usechat() -> Path:
    """The packages of the AI SDK, installed, and the pages of the example, built."""
    return installed(USECHAT, then=("serve.py", "--build"))

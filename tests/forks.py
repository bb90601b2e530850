"""Commands as processes that are forked from one that has loaded the product already.

Most of what the start of a gateway or a worker takes is the loading of modules, about a second of
processor time; the suite has some six hundred starts. What a process does after that, how it ends
and how it is killed is as in one that was started: a process of its own, with a session, an
environment and files of its own. How a command starts is for tests that start it themselves.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from stepwire_cli.dev.child_processes import Child

_MAX_BYTES: Final = 256 * 1024
"""Of a request: an environment is most of it."""

_ANY: Final = ("STEPWIRE_", "PYTEST_")
"""Variables that are not looked at while modules are loaded begin with these."""


def _looked_at(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if not name.startswith(_ANY)}


class _Request(NamedTuple):
    arguments: list[str]
    env: dict[str, str]
    folder: str


class ForkedProcess(subprocess.Popen[bytes]):
    """A process whose end its parent, which is not this process, tells of."""

    def __init__(self, arguments: list[str], news: socket.socket, pid: int) -> None:
        # Not what it begins with: no process is started here.
        self.args = arguments
        self.stdin = self.stdout = self.stderr = None
        self.pid = pid
        self.returncode: int | None = None
        self._news = news

    def poll(self) -> int | None:
        return self.returncode if self._is_over(0) else None

    def wait(self, timeout: float | None = None) -> int:
        if not self._is_over(timeout):
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def _is_over(self, limit_s: float | None) -> bool:
        if self.returncode is None and select.select([self._news], [], [], limit_s)[0]:
            said = self._news.recv(64)
            self._news.close()
            if not said:
                raise ChildProcessError(f"the parent of process {self.pid} has ended")
            self.returncode = int(said)
        return self.returncode is not None


class Forks:
    """The process that others are forked from; it starts with the first of them."""

    def __init__(self) -> None:
        # Coverage follows only into a process that is started.
        self._env = {
            name: value
            for name, value in _looked_at(os.environ).items()
            if not name.startswith("COVERAGE")
        }
        self._requests: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def child(self, command: Child) -> Child:
        """The same command, not started yet. It is forked if it has a log, and no variable in its
        environment could have made a difference before."""
        if command.log is None or _looked_at(command.env) != self._env:
            return command
        return _ForkedChild(command.arguments, command.env, command.log, fork=self._fork)

    def _fork(self, arguments: list[str], env: dict[str, str], log: Path) -> ForkedProcess:
        if self._requests is None:
            self._requests = self._start()
        ours, news = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = json.dumps(_Request(arguments, env, str(Path.cwd()))).encode()
        with news, log.open("ab") as file:
            files = [news.fileno(), file.fileno()]
            socket.send_fds(self._requests, [request], files)
        return ForkedProcess(arguments, ours, int(ours.recv(64)))

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # -P as for every command: nothing that lies beside a module of ours takes its place.
            command = [sys.executable, "-P", __file__, str(theirs.fileno())]
            descriptor = theirs.fileno()
            self._process = subprocess.Popen(
                command, env=self._env, pass_fds=[descriptor], start_new_session=True
            )
        return ours

    def close(self) -> None:
        if self._requests is not None and self._process is not None:
            # The end of the requests is its end.
            self._requests.close()
            self._process.wait(10)
            self._requests = self._process = None


FORKS: Final = Forks()
atexit.register(FORKS.close)


@dataclass(slots=True)
class _ForkedChild(Child):
    fork: Callable[[list[str], dict[str, str], Path], ForkedProcess] = field(kw_only=True)

    def start(self) -> None:
        assert self.log is not None
        self.process = self.fork(self.arguments, self.env, self.log)


class _Parent:
    """The process that has loaded the product, and forks."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._news: dict[int, socket.socket] = {}
        self._woken, self._wake = os.pipe()
        for end in (self._woken, self._wake):
            os.set_blocking(end, False)

    def serve(self) -> list[str] | None:
        """Returns in each child, with its arguments; and here, without any, at the end."""
        signal.set_wakeup_fd(self._wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while True:
            ready, _, _ = select.select([self._requests.fileno(), self._woken], [], [])
            if self._woken in ready:
                self._reap()
            if self._requests.fileno() in ready:
                message, files, _, _ = socket.recv_fds(self._requests, _MAX_BYTES, 2)
                if not message:
                    return None
                request = _Request(*json.loads(message))
                if self._fork(request, *files):
                    return request.arguments

    def _reap(self) -> None:
        os.read(self._woken, 4096)
        while self._news:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            with self._news.pop(pid) as news:
                self._tell(news, os.waitstatus_to_exitcode(status))

    def _tell(self, news: socket.socket, number: int) -> None:
        # Its test may be over.
        with suppress(ConnectionError):
            news.send(str(number).encode())

    def _fork(self, request: _Request, news_file: int, log: int) -> bool:
        """Whether this is the child."""
        news = socket.socket(fileno=news_file)
        if pid := os.fork():
            os.close(log)
            self._news[pid] = news
            self._tell(news, pid)
            return False
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for other in (news, self._requests, *self._news.values()):
            other.close()
        os.close(self._woken)
        os.close(self._wake)
        os.setsid()
        os.chdir(request.folder)
        os.environ.clear()
        os.environ.update(request.env)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for file, place in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(file, place)
        os.close(nothing)
        os.close(log)
        return True


def _load() -> Callable[[], None]:
    """What the commands import when they are called; returns what calls them."""
    from stepwire_cli.__main__ import main
    from stepwire_core.process.loading import loading_modules

    with loading_modules():
        for name in ("stepwire_cli.main", "stepwire._worker.arq_worker", "stepwire_gateway.server"):
            importlib.import_module(name)
    # The children share the loaded modules as long as no garbage collection looks at them.
    gc.freeze()
    return main


if __name__ == "__main__":
    command = _load()
    arguments = _Parent(socket.socket(fileno=int(sys.argv[1]))).serve()
    if arguments is not None:
        sys.argv = ["stepwire", *arguments]
        command()

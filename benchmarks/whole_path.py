"""Tokens a second from ``stream_token`` to a client, over the whole path, beside chainlit's.

The same handler on both sides, but for the import. Ours: worker, Redis, gateway and client are
processes of their own. Chainlit has its handlers in the process that serves the client, and
nothing between: it stores nothing. From the message that the client sends to the end of the answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chainlit_peer import chainlit_running, missing
from rounds import Row, table
from stepwire_cli.dev import child_processes
from stepwire_cli.dev.embedded_server import embedded_server
from worker_processes import gateway_at, ready

HANDLERS = """
import {library} as cl

@cl.on_message
async def main(message: cl.Message):
    answer = cl.Message(content="")
    for number in range(int(message.content)):
        await answer.stream_token(f"token {{number % 997}} ")
    await answer.send()
"""

CLIENT = Path(__file__).with_name("one_client.py")


@dataclass(slots=True)
class Figures:
    """Tokens a second, and the client's share of a processor, round by round."""

    kind: str
    port: int
    rate: list[float] = field(default_factory=list)
    client: list[float] = field(default_factory=list)

    def measure(self, tokens: int) -> None:
        """One round, with a client of its own; the first tokens of a server do not count."""
        if not self.rate:
            self._run(tokens // 10)
        took = self._run(tokens)
        self.rate.append(tokens / took["seconds"])
        self.client.append(took["cpu_s"] / took["seconds"])

    def _run(self, tokens: int) -> dict[str, float]:
        command = [sys.executable, str(CLIENT), self.kind, str(self.port), str(tokens)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
        if done.returncode:
            raise RuntimeError(f"the client failed:\n{done.stderr}")
        took: dict[str, float] = json.loads(done.stdout)
        return took


@contextmanager
def stepwire_running() -> Iterator[int]:
    """A server, a worker and a gateway; its port."""
    with tempfile.TemporaryDirectory() as folder, embedded_server() as server, ExitStack() as stack:
        app, log = Path(folder, "app.py"), Path(folder, "worker.log")
        app.write_text(HANDLERS.format(library="stepwire"))
        env = os.environ | {
            "STEPWIRE_REDIS_URL": server.url,
            "STEPWIRE_MAX_TEXT_CHARS": "100000000",
        }
        worker = child_processes.worker(app, env, log=log)
        stack.callback(worker.stop)
        worker.start()
        port = stack.enter_context(gateway_at(env, Path(folder, "gateway.log")))
        ready(worker)
        yield port


def measure(*, short: bool = False) -> list[Row]:
    rounds, our_tokens, their_tokens = (1, 5_000, 500) if short else (7, 200_000, 10_000)
    skipped = missing()
    with ExitStack() as stack:
        ours = Figures("sse", stack.enter_context(stepwire_running()))
        theirs = Figures("socketio", 0)
        if not skipped:
            handlers = HANDLERS.format(library="chainlit")
            theirs.port = stack.enter_context(chainlit_running(handlers))
        for _ in range(rounds):
            ours.measure(our_tokens)
            if not skipped:
                theirs.measure(their_tokens)
    what, peer = "stream_token, seen by a client", "chainlit 2.12, handler to socket.io client"
    one_core, one = "one core", [1.0] * rounds
    rows = [
        Row(what, "tokens/s", ours.rate, peer, theirs.rate, ">= 5", skipped),
        Row(f"{what}: the client's own CPU", "cores", ours.client, one_core, one, "< 0.5"),
    ]
    if not skipped:
        what = "chainlit's: the client's own CPU"
        rows.append(Row(what, "cores", theirs.client, one_core, one, "< 0.5"))
    return rows


if __name__ == "__main__":
    print(table(measure(short="--short" in sys.argv)))

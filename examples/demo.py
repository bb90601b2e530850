"""``make demo``: the demo agent answers a question, live in this terminal.

    python examples/demo.py ["a question"] [--keep]

It starts what ``stepwire dev`` starts (a server, a gateway and a worker, on loopback), asks, draws
the tree of steps while they happen, and stops everything again.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from stepwire.client import Client, Session
from stepwire_cli.dev.child_processes import gateway, gateway_is_ready, wait_until, worker
from stepwire_cli.dev.embedded_server import embedded_server, free_port
from stepwire_cli.tail.live import run_tail
from stepwire_core.errors import StepwireError
from stepwire_core.settings import environment

AGENT = Path(__file__).with_name("agent.py")
QUESTION = "Who gets a snapshot after a reconnect?"
RUN_TIMEOUT_S = 120


class DemoFailed(Exception):
    """The run took too long."""


def main() -> int:
    """Run the demo; the exit code."""
    options = parse_arguments()
    signal.signal(signal.SIGTERM, leave)
    try:
        with running_stepwire() as url:
            return show(url, options.question, keep=options.keep)
    except (DemoFailed, StepwireError) as error:
        print(f"The demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="An agent answers a question, live.")
    parser.add_argument("question", nargs="?", default=QUESTION, help="default: %(default)s")
    parser.add_argument("--keep", action="store_true", help="keep it running until Ctrl-C")
    return parser.parse_args()


def show(url: str, question: str, *, keep: bool) -> int:
    """Ask the agent and draw what it does; the exit code."""
    with Client(url) as client, time_limit(RUN_TIMEOUT_S):
        session = client.create_session()
        wait_for_greeting(session)
        page = f"{url}/?session={session.id}"
        print(f"In a browser: {page}\n", flush=True)
        session.send(question)
        went_well = run_tail(session.id, url=url, after=None, until_idle=True)
    if keep:
        print(f"\nAsk it more at {page}\nCtrl-C stops it.", flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
    else:
        print("\nTo look at it in a browser and to ask more: python examples/demo.py --keep")
    return 0 if went_well else 1


def wait_for_greeting(session: Session) -> None:
    """Return when the agent has said hello."""
    with closing(session.follow()) as updates:
        for update in updates:
            if update.tree.idle:
                return


@contextmanager
def running_stepwire() -> Iterator[str]:
    """A server, a gateway and a worker with the agent, while the block runs; yields their URL.

    Raises:
        NotStarted: one of them did not start; the message has its log.
    """
    with ExitStack() as stack:
        logs = Path(stack.enter_context(TemporaryDirectory(prefix="stepwire-demo-")))
        server = stack.enter_context(embedded_server())
        # A run that is under way at Ctrl-C gets a second to end.
        env = environment(redis_url=server.url) | {"STEPWIRE_GRACE_S": "1"}
        port = free_port()
        children = [
            gateway(env, port=port, log=logs / "gateway.log"),
            worker(AGENT, env, log=logs / "worker.log"),
        ]
        for child in children:
            stack.callback(child.stop)
            child.start()
        # Stopping takes a moment; another Ctrl-C in it must not leave anything behind.
        for number in (signal.SIGINT, signal.SIGTERM):
            stack.callback(signal.signal, number, signal.SIG_IGN)
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: gateway_is_ready(url), "the gateway", children)
        wait_until(lambda: "worker ready" in children[1].output, "the worker", children)
        yield url


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Raise DemoFailed in a block that takes longer."""

    def too_long(_signal: int, _frame: FrameType | None) -> None:
        raise DemoFailed(f"the run is not over after {seconds} s")

    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def leave(_signal: int, _frame: FrameType | None) -> None:
    """End on SIGTERM as on Ctrl-C: through every cleanup on the way."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

"""Threads that emit, while generators that hold steps are collected before each line of ours.

Prints how many were collected in a thread that emits, and how many steps each thread has sent.
"""

from __future__ import annotations

import contextvars
import faulthandler
import gc
import json
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import stepwire as cl
from stepwire._transport import (
    append_call,
    buffer,
    intake,
    process_publisher,
    producer,
    publisher,
    source,
)
from stepwire._tree import growing_text, node, node_content

LIMIT_S, SESSION, WHAT, COUNT, WANTED = (
    float(sys.argv[1]),
    sys.argv[2],
    sys.argv[3],
    int(sys.argv[4]),
    int(sys.argv[5]),
)
OURS = {
    module.__file__
    for module in (
        append_call,
        buffer,
        node_content,
        growing_text,
        intake,
        node,
        process_publisher,
        producer,
        publisher,
        source,
    )
}


@cl.step(name="left")
def decorated() -> Iterator[object]:
    yield "a"
    yield "b"


def with_a_step() -> Iterator[object]:
    with cl.Step("left"):
        yield 1
        yield 2


def with_a_session() -> Iterator[object]:
    with cl.session(SESSION), cl.Step("left"):
        yield 1
        yield 2


class Emitting:
    def __del__(self) -> None:
        with cl.session(SESSION), cl.Step("left") as step:
            step.output = "bye"


def with_del() -> Iterator[object]:
    kept = Emitting()
    yield 1
    yield kept


GENERATORS: dict[str, Callable[[], Iterator[object]]] = {
    "a decorated generator": decorated,
    "a step in a generator": with_a_step,
    "a session in a generator": with_a_session,
    "__del__": with_del,
}


class Holder:
    """A cycle, as any traceback or closure makes one: only a collection finds it."""

    def __init__(self) -> None:
        self.me = self
        self.generator = GENERATORS[WHAT]()
        next(self.generator)


holders: list[Holder] = []
seen: dict[object, int] = {}
armed, collecting = threading.Event(), threading.Lock()
emitted: dict[str, int] = dict.fromkeys(("t0", "t1", "t2"), 0)


def trace(frame: FrameType, event: str, _arg: object) -> Any:
    """Collect before each line of ours, twice in each thread, as the interpreter may do it."""
    if frame.f_code.co_filename not in OURS:
        return None
    place = (threading.get_ident(), frame.f_code, frame.f_lineno)
    # While one thread collects, collections of the others do nothing.
    is_due = event == "line" and armed.is_set() and seen.get(place, 0) < 2
    if is_due and collecting.acquire(blocking=False):
        try:
            if holders:
                seen[place] = seen.get(place, 0) + 1
                holders.pop()
                gc.collect()
        finally:
            collecting.release()
    return trace


def emit(name: str) -> None:
    sys.settrace(trace)
    while len(holders) > COUNT - WANTED and emitted[name] < 5_000:
        with cl.Step(name) as step:
            step._add("x", "output", replace=False)
            step._add("é", "output", replace=False)
        emitted[name] += 1
        if emitted[name] % 20 == 0:
            with cl.session(SESSION):
                pass
    sys.settrace(None)


def main() -> None:
    faulthandler.dump_traceback_later(LIMIT_S, exit=True)
    gc.disable()
    gc.collect()
    gc.freeze()
    threading.settrace(trace)  # the thread that stores begins with the first session
    with cl.session(SESSION):
        # Before the generators enter sessions of their own in it: a session that is collected ends
        # the steps that are open in it, and the threads' must not be among them.
        here = contextvars.copy_context()
        holders.extend(Holder() for _ in range(COUNT))
        armed.set()
        threads = [threading.Thread(target=here.copy().run, args=(emit, name)) for name in emitted]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        armed.clear()
        with collecting:
            injected = COUNT - len(holders)
            holders.clear()
            gc.collect()
    print(json.dumps([injected, emitted]))


if __name__ == "__main__":
    main()

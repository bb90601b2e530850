"""Finalisers that emit, wherever the garbage collector runs them: nothing stands still or is lost.

Each case is a process of its own: one that hangs is ended by its own watchdog, which makes it fail.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

from stepwire_cli.dev.embedded_server import EmbeddedServer
from stepwire_core.log.event_log import open_log
from stepwire_core.settings import Settings
from stepwire_core.values.ids import new_id

pytestmark = pytest.mark.anyio

LIMIT_S = 30

LEFT = {
    "a decorated generator": """
        @cl.step(name="left")
        def left():
            yield "a"
            yield "b"
    """,
    "a step in a generator": """
        def left():
            with cl.Step("left"):
                yield 1
                yield 2
    """,
    "a session in a generator": """
        def left():
            with cl.session(SESSION), cl.Step("left"):
                yield 1
                yield 2
    """,
    "__del__": """
        class Left:
            def __del__(self):
                with cl.session(SESSION), cl.Step("left") as step:
                    step.output = "bye"

        def left():
            kept = Left()
            yield 1
            yield kept
    """,
}

PROGRAM = """
    import contextvars, faulthandler, gc, json, sys, threading
    import stepwire as cl
    from stepwire._transport import buffer as _buffer
    from stepwire._transport import intake as _intake
    from stepwire._tree import node as _node
    from stepwire._transport import process_publisher as _process
    from stepwire._transport import producer as _producer
    from stepwire._transport import publisher as _publisher

    faulthandler.dump_traceback_later({limit}, exit=True)
    SESSION = {session!r}
    {left}

    class Holder:
        pass

    def dropped():
        # A cycle, as any traceback or closure makes one: only a collection finds it.
        holder = Holder()
        holder.me = holder
        holder.generator = left()
        next(holder.generator)
        return holder

    files = {{m.__file__ for m in (_buffer, _intake, _node, _process, _producer, _publisher)}}
    holders, seen, armed, one = [], {{}}, threading.Event(), threading.Lock()

    def trace(frame, event, arg):
        # A collection before each line of ours, twice in each thread, as the interpreter may do it.
        if frame.f_code.co_filename not in files:
            return None
        place = (threading.get_ident(), frame.f_code, frame.f_lineno)
        # While one thread collects, collections of the others do nothing.
        if event == "line" and armed.is_set() and seen.get(place, 0) < 2 and one.acquire(False):
            try:
                if holders:
                    seen[place] = seen.get(place, 0) + 1
                    holders.pop()
                    gc.collect()
            finally:
                one.release()
        return trace

    def emit(name):
        sys.settrace(trace)
        while len(holders) > {count} - {wanted} and emitted[name] < 5_000:
            with cl.Step(name) as step:
                step._add("x", "output", replace=False)
                step._add("é", "output", replace=False)
            emitted[name] += 1
            if emitted[name] % 20 == 0:
                with cl.session(SESSION):
                    pass
        sys.settrace(None)

    emitted = dict.fromkeys(("t0", "t1", "t2"), 0)
    gc.disable()
    gc.collect()
    gc.freeze()
    threading.settrace(trace)  # the thread that stores begins with the first session
    with cl.session(SESSION):
        holders += [dropped() for _ in range({count})]
        armed.set()
        threads = [
            threading.Thread(target=contextvars.copy_context().run, args=(emit, name))
            for name in emitted
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        armed.clear()
        with one:
            injected = {count} - len(holders)
            holders.clear()
            gc.collect()
    print(json.dumps([injected, emitted]))
"""


@pytest.mark.parametrize("what", LEFT)
async def test_a_generator_that_is_collected_anywhere_ends_its_step_and_holds_up_nobody(
    server: EmbeddedServer, what: str
) -> None:
    session_id, count, wanted = new_id(), 400, 200
    program = textwrap.dedent(PROGRAM).format(
        limit=LIMIT_S,
        session=session_id,
        left=textwrap.dedent(LEFT[what]),
        count=count,
        wanted=wanted,
    )
    done = subprocess.run(  # noqa: ASYNC221 - nothing else runs here
        [sys.executable, "-c", program],
        env={"STEPWIRE_REDIS_URL": server.url, "STEPWIRE_SESSION_MAX_STEPS": "20000"},
        capture_output=True,
        text=True,
        timeout=2 * LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    injected, emitted = json.loads(done.stdout)
    assert injected >= wanted
    assert "Exception ignored" not in done.stderr, done.stderr[-4000:]
    async with open_log(Settings(redis_url=server.url)) as log:
        steps = (await log.snapshot(session_id)).steps
    names = [step.name for step in steps]
    expected = emitted | {"left": count}
    assert {name: names.count(name) for name in expected} == expected
    assert {step.status for step in steps} == {"ok"}
    assert {step.output for step in steps if step.name in emitted} == {"xé"}

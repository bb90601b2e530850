"""A program whose steps go on in a pool of processes: METHOD SESSION; it prints what each saw."""

from __future__ import annotations

import json
import multiprocessing
import sys

import stepwire as cl


def part(context: dict[str, str], name: str) -> str:
    """The work of a process in the pool."""
    seen = "nothing"
    try:
        with cl.Step("of the parent"):
            pass
    except cl.StepwireError as error:
        seen = type(error).__name__
    with cl.attach(context), cl.Step(name):
        pass
    return seen


if __name__ == "__main__":
    method, session_id = sys.argv[1:]
    with (
        cl.session(session_id),
        cl.Step("fans out"),
        multiprocessing.get_context(method).Pool(2) as pool,
    ):
        jobs = [(cl.current().export(), f"part {number}") for number in range(4)]
        print(json.dumps(pool.starmap(part, jobs)))

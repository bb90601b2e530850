"""The texts of the Lua scripts, and the order of their arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Final

from stepwire_core.redis.commands import Argument

ARGUMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "log/append": (
        *("mode", "ttl_ms", "max_events", "log_max_bytes", "max_steps", "max_bytes", "suffix"),
        *("producer", "first", "known_epoch", "run", "attempt", "ask", "expects", "turn"),
    ),
    "log/append_piece": (
        *("suffix", "max_bytes", "producer", "number", "run"),
        *("epoch_then", "tail_then", "letter", "fence_then", "id", "field", "text"),
    ),
    "log/read": ("after_epoch", "after_seq", "most_events", "most_bytes", "suffix", "how"),
    "log/begin_run": ("run", "token", "turn", "message"),
    "log/register_run": (
        "run",
        "work",
        "turn",
        "parent",
        "parent_attempt",
        "max_steps",
        "max_bytes",
        "kept",
    ),
    "log/cancel_run": ("channel", "session"),
    "log/keep_bytes": ("element", "content", "max_bytes"),
    "log/delete_session": ("cancel_channel", "suffix", "session", "ending_ttl_ms"),
    "log/leave_turn": ("entry",),
    "log/list_session": ("session", "subject", "at_us", "most", "ttl_ms", "channel"),
    "log/unlist_sessions": ("channel",),
    "log/submit": ("count",),
    "queue/dead_letter": ("run", "session", "letter", "most", "ttl_ms"),
    "redis/count": ("window_ms",),
    "redis/release": ("token",),
    "queue/enqueue": ("id", "job", "defer_ms", "ttl_ms", "facts"),
    "queue/promote": ("id",),
    "queue/claim_by_id": ("id", "token", "lease_ms"),
    "queue/claim": ("token", "lease_ms", "room", "per_subject", "limited"),
    "queue/renew": ("token", "lease_ms"),
    "queue/release_slots": ("id", "what"),
    "queue/ack": ("id", "token", "due"),
}
"""The ARGV of each script, in its order: here and nowhere else. In the script, each is a
local variable of that name; what follows them begins behind ``ARGV[HEAD]``."""


ROWS: Final[Mapping[str, tuple[str, ...]]] = {
    "log/append": ("op", "type", "id", "parent", "payload"),
    "log/cancel_run": ("run", "part"),
    "log/unlist_sessions": ("session", "score"),
    "queue/renew": ("id", "until_ms"),
}
"""What follows the arguments of a script in rows of equal width, in the order of a row. In the
script, each is the place of that value in its row, in capitals, and ``WIDTH`` is their number."""


def script_args(script: str, *rest: Argument, **values: Argument) -> list[Argument]:
    """The ARGV of a script: its :data:`ARGUMENTS` by their names, then ``rest``."""
    names = ARGUMENTS[script]
    if values.keys() != set(names):
        raise TypeError(f"{script} takes {', '.join(names)}; got {', '.join(values)}")
    return [*(values[name] for name in names), *rest]


def _path(name: str) -> tuple[str, str, str]:
    folder, _, script = name.partition("/")
    return folder, "lua", f"{script}.lua"


@cache
def lua_source(name: str) -> bytes:
    """The text of a script of this package, as ``log/append`` for ``log/lua/append.lua``, with its
    arguments as local variables."""
    text = files("stepwire_core").joinpath(*_path(name)).read_bytes()
    if (names := ARGUMENTS.get(name)) is None:
        return text
    values = ", ".join(f"ARGV[{number}]" for number in range(1, len(names) + 1))
    head = f"local HEAD = {len(names)}\nlocal {', '.join(names)} = {values}\n".encode()
    if row := ROWS.get(name):
        places = {place.upper(): number for number, place in enumerate(row, 1)}
        head += lua_constants(WIDTH=len(row), **places)
    return head + text


Constant = str | int | Sequence[str] | Mapping[str, str]


def lua_constants(**values: Constant) -> bytes:
    """Local variables for the scripts that follow: what both Python and Lua have to know."""
    return "".join(f"local {name} = {_literal(value)}\n" for name, value in values.items()).encode()


def _literal(value: Constant) -> str:
    match value:
        case int():
            return str(value)
        case str():
            return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
        case Mapping():
            pairs = (f"[{_literal(key)}] = {_literal(item)}" for key, item in value.items())
            return f"{{{', '.join(pairs)}}}"
        case _:
            return f"{{{', '.join(map(_literal, value))}}}"

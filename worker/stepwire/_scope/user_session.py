"""Values that belong to a session and follow it from worker to worker."""

from __future__ import annotations

import copy
import json
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from stepwire._scope.context import Scope, current_frame
from stepwire_core.errors import InvalidArgument, StepwireError
from stepwire_core.values.json_values import encoded
from stepwire_core.values.text import is_whole
from stepwire_core.wire.events import user_value_event
from stepwire_core.wire.words import CHAT_PROFILE, CHAT_SETTINGS

if TYPE_CHECKING:
    from collections.abc import Mapping


logger = logging.getLogger("stepwire.user_session")

CHAT_CONTEXT: Final = ".chat_context"
"""Where ``chat_context`` keeps what handlers have changed in it."""

_OURS: Final = frozenset({CHAT_CONTEXT})
"""Values that are kept with those of the handlers, and that they do not see."""

_WHAT: Final = "user_session"
_RESERVED: Final = ("id", "user", "env", CHAT_SETTINGS, CHAT_PROFILE)
"""Names of what the session knows by itself, and of what a person chooses."""


@dataclass(frozen=True, slots=True)
class User:
    """The person or service that a run is for: ``cl.user_session.get("user")``."""

    identifier: str
    """The subject of the token with which the run was requested."""


MAX_KEY_CHARS: Final = 1_000
"""Of the name of a value."""


class UserSession:
    """``cl.user_session``: what handlers remember about the person between messages.

    A run begins with what the earlier runs have stored. A value that is set is stored with the
    events of the run, in their order. A list or dict may be changed in place, as in
    ``cl.user_session.get("history").append(…)``: what differs from what was stored is stored at the
    end of the run, however it ends, and before the handler waits for an answer or a task. Runs of
    one session that overlap in time see their own values; of a name that both change, the later one
    stays.

    Values are JSON: they have to reach another process. Keep clients and connections in your
    module.
    """

    def get(self, key: str, default: Any = None) -> Any:
        """The value of that name, else ``default``.

        ``id`` is the session's id; ``user`` is the :class:`User` for whom the run is, or None where
        callers need no token; ``env`` is empty, as no client sends its own variables.
        ``chat_settings`` are the values of the form that :class:`ChatSettings` has sent, as they
        were when the run began, and ``chat_profile`` is the name of the profile that was chosen,
        or None.

        Raises:
            NoActiveSession: outside any handler.
        """
        scope = _scope()
        if key == "id":
            return scope.session_id
        run = scope.require_run(_WHAT)
        if key == "user":
            return None if run.subject is None else User(run.subject)
        if key == "env":
            return {}
        if key == CHAT_SETTINGS:
            # A copy: a change of it would be kept nowhere.
            return copy.deepcopy(run.user.get(key, {}))
        if key == CHAT_PROFILE:
            return run.user.get(key, default)
        if key in _OURS:
            return default
        value = run.user.get(key, default)
        if isinstance(value, (list, dict)) and key not in run.handed_out and value is not default:
            # It is as it was stored: by this run, or as JSON by another one. An older version may
            # have stored a value that is nested more deeply than this one stores.
            with suppress(ValueError):
                run.handed_out[key] = encoded(value)
        return value

    def set(self, key: str, value: Any) -> None:
        """Keep a value; None forgets it.

        Blocks the calling thread while the process's buffer is full (``STEPWIRE_BUFFER_BYTES``).

        Raises:
            InvalidArgument: the name is not a text of 1 to 1,000 whole characters, or is ``id``,
                ``user``, ``env``, ``chat_settings`` or ``chat_profile``; or the value is not JSON,
                or too large (``ValueTooLarge``).
            NoActiveSession: outside any handler.
        """
        if not _is_key(key):
            raise InvalidArgument(
                f"user_session.set takes a name that is text of 1 to {MAX_KEY_CHARS:,} characters, "
                f"without halves of surrogate pairs, and not {', '.join(_RESERVED)}; "
                f"not {key!r:.100}"
            )
        scope = _scope()
        run = scope.require_run(_WHAT)
        if value is None:
            run.user.pop(key, None)
            run.handed_out.pop(key, None)
            scope.producer.publish(user_value_event(key, ""))
            scope.producer.room_sync()
            return
        try:
            text = encoded(value)
        except ValueError as error:
            raise InvalidArgument(
                f"user_session.set({key!r}, …): {error}. Values follow the session to other "
                "workers, so they must be JSON; keep clients and connections in your module instead"
            ) from error
        scope.producer.publish(user_value_event(key, text))
        # As the next worker will see it: tuples are lists there, keys are text. A value that
        # is the same there stays the caller's own object, which the caller may go on to change.
        again = json.loads(text)
        run.user[key] = value if again == value else again
        if isinstance(again, (list, dict)):
            run.handed_out[key] = text
        else:
            run.handed_out.pop(key, None)
        scope.producer.room_sync()


def visible(user: Mapping[str, Any]) -> dict[str, Any]:
    """The values that handlers have set."""
    return {key: value for key, value in user.items() if key not in _OURS}


def store_changes(scope: Scope) -> None:
    """Store what has been changed in place since it was stored. Never raises.

    A value that cannot be stored any more is named in the log, and costs only itself.
    """
    run = scope.run
    if run is None:
        return
    for key, before in list(run.handed_out.items()):
        value = run.user.get(key)
        if value is None:
            continue
        try:
            text = encoded(value)
            if text != before:
                scope.producer.publish(user_value_event(key, text))
                run.handed_out[key] = text
        except (ValueError, StepwireError, RuntimeError) as error:
            # RuntimeError: a thread that was not awaited goes on to change it.
            logger.warning(
                "a value of the user session was changed in place and could not be stored",
                extra={
                    "key": key,
                    "session_id": scope.session_id,
                    "run_id": scope.run_id,
                    "error": str(error),
                },
            )


def _is_key(key: object) -> bool:
    return (
        isinstance(key, str)
        and key not in _RESERVED
        and key not in _OURS
        and 0 < len(key) <= MAX_KEY_CHARS
        and is_whole(key)
    )


def _scope() -> Scope:
    return current_frame(_WHAT).scope


user_session: UserSession = UserSession()
"""Values that follow the session from run to run, and from worker to worker."""

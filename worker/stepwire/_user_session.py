"""Values that belong to a session and follow it from worker to worker."""

from __future__ import annotations

import json
from typing import Any

from stepwire._context import Scope, current_frame
from stepwire_core.errors import InvalidArgument, NoActiveSession
from stepwire_core.events import user_value_event


class UserSession:
    """``cl.user_session``: what handlers remember about the person between messages.

    A run begins with what the earlier runs have stored. A value that is set is stored with the
    events of the run, in their order. Runs of one session that overlap in time see their own
    values; of a name that both set, the later one stays.

    Values are JSON: they have to reach another process. Keep clients and connections in your
    module.
    """

    def get(self, key: str, default: Any = None) -> Any:
        """The value of that name, else ``default``. ``id`` is the session's id.

        Raises:
            NoActiveSession: outside any handler.
        """
        scope = _scope()
        return scope.session_id if key == "id" else _values(scope).get(key, default)

    def set(self, key: str, value: Any) -> None:
        """Keep a value; None forgets it.

        Blocks the calling thread while the process's buffer is full (``STEPWIRE_BUFFER_BYTES``).

        Raises:
            InvalidArgument: the name is no text or is ``id``, or the value is not JSON, or too
                large (``ValueTooLarge``).
            NoActiveSession: outside any handler.
        """
        if not isinstance(key, str) or not key or key == "id":
            raise InvalidArgument(
                f"user_session.set takes a name that is text and not 'id', not {key!r}"
            )
        scope = _scope()
        values = _values(scope)
        if value is None:
            values.pop(key, None)
            scope.producer.publish(user_value_event(key, ""))
            scope.producer.room_sync()
            return
        try:
            encoded = json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InvalidArgument(
                f"user_session.set({key!r}, …): {error}. Values follow the session to other "
                "workers, so they must be JSON; keep clients and connections in your module instead"
            ) from error
        scope.producer.publish(user_value_event(key, encoded))
        # As the next worker will see it: tuples are lists there, keys are text.
        values[key] = json.loads(encoded)
        scope.producer.room_sync()


def _scope() -> Scope:
    return current_frame("user_session").scope


def _values(scope: Scope) -> dict[str, Any]:
    if scope.user is None:
        raise NoActiveSession("user_session")
    return scope.user


user_session = UserSession()

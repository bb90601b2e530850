"""The title under which lists of sessions show a session."""

from __future__ import annotations

from stepwire._scope.context import current_frame
from stepwire_core.wire.events import title_event


def session_title(title: str) -> None:
    """Give the current session a title: ``cl.session_title("Trip to Rome")``.

    Lists of sessions show it. Without one they show the beginning of the first message. It is one
    line of at most 200 characters: breaks become spaces, what cannot be seen goes, and what is
    longer is cut off, with a mark. It is stored with the events of the run, in their order; the
    last title stays.

    Blocks the calling thread while the process's buffer is full (``STEPWIRE_BUFFER_BYTES``).

    Raises:
        InvalidArgument: it is not a text, or nothing of it can be seen.
        NoActiveSession: outside any session.
    """
    from stepwire_core.wire.session_entry import as_title

    producer = current_frame("session_title").scope.producer
    producer.publish(title_event(as_title(title)))
    producer.room_sync()

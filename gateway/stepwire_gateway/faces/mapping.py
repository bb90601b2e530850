"""The interface of a face: the seam between the layer and each protocol."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from stepwire_gateway.faces.events import FaceEvent


class Mapping(Protocol):
    """What one client is told of each event: a fold, made anew for each stream.

    Events come in the order of the log. A stream that begins with a snapshot begins with its retold
    events (``is_retold``), then :meth:`retold` is called once, then the events after it come. The
    same may happen again in mid-stream, where the log does not reach back to what this client has:
    then the retold events tell things of which some are known. A mapping keeps small facts (ids,
    what is open, :class:`~stepwire_gateway.faces.told_texts.Texts`), never documents or texts:
    there is one for each client.

    What a method returns goes out as it is: whole frames, or nothing.
    """

    over: bool
    """Whether the protocol allows nothing more: the stream ends, without :meth:`left`."""

    def tell(self, event: FaceEvent) -> bytes:
        """The frames that the client gets for an event."""
        ...

    def retold(self) -> bytes:
        """What it is told when a whole snapshot has been retold."""
        ...

    def left(self) -> bytes | None:
        """The last words of a stream that ends while the run goes on: this process is stopping, the
        token has nearly ended, or the session was deleted. None: the connection is cut, as by a
        network that fails, for clients that come back after that alone."""
        ...


def data_frame(value: dict[str, Any], *, id: str | None = None) -> bytes:
    """A frame with one ``data`` line, of which nothing needs UTF-8: half of a surrogate pair, as a
    tokenizer may cut it, goes through. LF only: some clients split frames on LF LF alone."""
    data = json.dumps(value, separators=(",", ":"))
    if id is None:
        return f"data: {data}\n\n".encode()
    return f"id: {id}\ndata: {data}\n\n".encode()

"""The same chunks with numbers, for clients that come back with the number of the next one.

The transport of the Workflow SDK (npm ``@workflow/ai``) counts the chunks that it has received, and
asks for the rest with ``?startIndex=N``. So each event of the session, from the first of the run
on, stands for exactly two chunks, and a number leads to the event in the log: on any gateway, with
nothing kept anywhere. What an event does not need is filled with chunks that say nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stepwire_core.wire.kinds import RUN_END, TEXT_DELTA
from stepwire_core.wire.words import ASSISTANT_MESSAGE
from stepwire_gateway.faces.aisdk.mapping import DONE, Chunk, UiMessageMapping
from stepwire_gateway.faces.events import RUN_START, STEP_START
from stepwire_gateway.faces.mapping import data_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stepwire_gateway.faces.events import FaceEvent

CHUNKS: Final = 2
"""Of each event. The end of the run has as many as it needs: nothing is numbered after it."""

_FILLER: Final[Chunk] = {"type": "data-nothing", "data": None, "transient": True}

TOO_OLD: Final = "the log does not reach back to where this stream was left: load the chat anew"


class NumberedMapping(UiMessageMapping):
    """One run in numbered chunks, from number ``at`` on; ``first_seq`` is the ``seq`` of the run's
    first event, None if it is still to come.

    The events begin with that one: what is told before ``at`` counts, and is not sent. Or, where
    the log does not reach back to it, with the one whose chunk ``at`` is. Then the state must be
    known first: :meth:`know` takes it from a snapshot, which is somewhere behind what the client
    has; and text that a step has got with its end alone, in between, is not told.

    Text is told as it streams, and not closed before the end of the run; a text that its handler
    has written anew comes as a ``data-step``.
    """

    def __init__(
        self,
        run_id: str,
        address: Callable[[str], str],
        *,
        first_seq: int | None = None,
        at: int = 0,
    ) -> None:
        super().__init__(run_id, address)
        self._first_seq = first_seq
        self._at = at
        """The number of the next chunk."""
        self._is_new = at == 0
        self._known_seq = 0
        """Up to here the state is known, and with it all texts."""

    def know(self, event: FaceEvent) -> None:
        """Take a retold event in without telling it."""
        self._known_seq = event.cursor.seq
        if event.type != RUN_END:
            list(self.chunks(event))

    def tell(self, event: FaceEvent) -> bytes:
        if event.is_retold and not self._is_new:
            return self._give_up()
        if self._first_seq is None:
            if event.type != RUN_START or event.data["run_id"] != self._run_id:
                return b""
            self._first_seq = event.cursor.seq
        if event.cursor.seq <= self._known_seq and not event.is_retold:
            chunks = list(self._known(event))
        else:
            chunks = list(self.chunks(event))
        if event.is_retold:
            # They are fewer than the events were; what is left is filled when all are told.
            self._known_seq = event.cursor.seq
            return self._sent(chunks) + (DONE if self.over else b"")
        if not self.over:
            chunks = (chunks + [_FILLER] * CHUNKS)[:CHUNKS]
        due = CHUNKS * (event.cursor.seq - self._first_seq)
        skipped = max(0, self._at - due)
        told = self._sent([_FILLER] * (due - self._at) + chunks[skipped:])
        return told + (DONE if self.over else b"")

    def retold(self) -> bytes:
        if self._first_seq is None:
            return b""
        due = CHUNKS * (self._known_seq + 1 - self._first_seq)
        return self._sent([_FILLER] * (due - self._at))

    def _sent(self, chunks: list[Chunk]) -> bytes:
        self._at += len(chunks)
        return b"".join(map(data_frame, chunks))

    def _give_up(self) -> bytes:
        self.over = True
        # Without an end in order their transport would ask again, and again.
        chunks: list[Chunk] = [{"type": "error", "errorText": TOO_OLD}, {"type": "finish"}]
        return b"".join(map(data_frame, chunks)) + DONE

    def _known(self, event: FaceEvent) -> Iterator[Chunk]:
        """The chunks of an event that the state has in it already."""
        data, id_ = event.data, event.data.get("id")
        if event.type == TEXT_DELTA and self._streams(data):
            if id_ in self._open:
                yield {"type": "text-delta", "id": id_, "delta": data["text"]}
        elif event.type == STEP_START and id_ in self._parts:
            yield self._open_part(data["id"], data["id"], data)
            if data["output"]:
                yield {"type": "text-delta", "id": id_, "delta": data["output"]}
        elif event.type == TEXT_DELTA and data.get("replace") and id_ in self._parts:
            yield {"type": "data-step", "id": id_, "data": {"id": id_, "output": data["text"]}}
        elif event.type != STEP_START and id_ in self._parts:
            # What the message was then: its texts are told as they are now.
            return
        else:
            self._files.discard(data.get("id", ""))
            if event.type == STEP_START:
                self._inputs.pop(data["id"], None)
            if event.type == RUN_START and data["run_id"] == self._run_id:
                self._has_begun = data["attempt"] > 1
            yield from self.chunks(event)

    # -- what differs ----------------------------------------------------------------------------

    def _streams(self, delta: dict[str, Any]) -> bool:
        """Whether it is a piece of a message that is appended."""
        is_text = self._kinds.get(delta["id"]) == ASSISTANT_MESSAGE and delta["field"] == "output"
        return is_text and not delta.get("replace")

    def _delta(self, delta: dict[str, Any]) -> Iterator[Chunk]:
        if self._streams(delta):
            # As it came, so that it is the same for a client that has only the rest of it.
            self._texts.add(delta["id"], delta["text"])
            yield {"type": "text-delta", "id": delta["id"], "delta": delta["text"]}
        else:
            yield from super()._delta(delta)

    def _message(
        self,
        step: dict[str, Any],
        *,
        has_ended: bool,  # noqa: ARG002 - it closes nothing
    ) -> Iterator[Chunk]:
        id_ = step["id"]
        self._kinds[id_] = ASSISTANT_MESSAGE
        if id_ not in self._parts:
            yield self._open_part(id_, id_, step)
        yield from self._rest(id_, step["output"], step)

    def _replaced(self, id_: str, text: str) -> Iterator[Chunk]:
        yield from self._rest(id_, text, {"id": id_, "output": text})

    def _rest(self, id_: str, whole: str, step: dict[str, Any]) -> Iterator[Chunk]:
        missing = self._texts.missing(id_, whole)
        if missing.is_anew:
            yield {"type": "data-step", "id": id_, "data": step}
        elif missing.text:
            yield {"type": "text-delta", "id": id_, "delta": missing.text}

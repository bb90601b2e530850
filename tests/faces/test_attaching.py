"""A client that attaches anywhere has in the end what one has that was there from the start."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from event_log import Writer
from faces.history import RUN, History, over_histories
from faces.ui_fold import UiFold
from stepwire_cli.dev.embedded_server import EmbeddedServer
from stepwire_core.log.event_log import LogTail, open_log
from stepwire_core.settings import Settings
from stepwire_core.values.ids import attempt_token, new_id
from stepwire_gateway.faces.aisdk.approvals import ApprovalMapping
from stepwire_gateway.faces.aisdk.bodies import UiMessage
from stepwire_gateway.faces.aisdk.mapping import UiMessageMapping
from stepwire_gateway.faces.aisdk.numbered import CHUNKS, NumberedMapping
from stepwire_gateway.faces.events import FaceEvent, Scope, event_of
from stepwire_gateway.faces.retelling import retold
from stepwire_gateway.hub.frames import event_frame
from stepwire_gateway.hub.snapshots import Snapshots
from stepwire_gateway.hub.written_snapshot import WrittenSnapshot
from stepwire_gateway.prefix import Prefix


class Stored:
    """A history in a real log: all of its events, and a snapshot after each of them."""

    def __init__(self) -> None:
        self.events: list[FaceEvent] = []
        self.snapshots: list[WrittenSnapshot] = []

    @classmethod
    async def of(cls, redis_url: str, history: History) -> Stored:
        stored = cls()
        async with open_log(Settings(redis_url=redis_url)) as log:
            snapshots = Snapshots(log)
            await log.create(history.session_id, "first")
            begun = await log.begin_run(history.session_id, RUN, attempt_token())
            writer = Writer(
                log, history.session_id, run_id=RUN, attempt=begun.attempt, name=begun.producer
            )
            first = (await log.tops([history.session_id]))[0]
            for event in history.events:
                await writer.put(event)
                stored.snapshots.append(await snapshots.whole(history.session_id))
            assert first is not None
            after = first
            while after != stored.snapshots[-1].cursor:
                read = await log.read(history.session_id, after)
                assert isinstance(read, LogTail)
                frames = [event_frame(event, Prefix(None)) for event in read.events]
                stored.events += map(event_of, frames)
                after = read.events[-1].cursor
        return stored

    async def attached(self, at: int) -> UiFold:
        """A client that attaches after so many events; with 0 it was there from the start."""
        mapping, client = UiMessageMapping(RUN), UiFold()
        if at:
            async for event in retold(self.snapshots[at - 1], Scope(RUN)):
                client.take(mapping.tell(event))
        for event in self.events[at:]:
            client.take(mapping.tell(event))
        return client

    async def come_back(self, at: int, known: int) -> UiFold:
        """A client whose stream has ended after so many events, for an approval, and that sends
        what it has when there are ``known``."""
        parts = _parts(b"".join(map(ApprovalMapping(RUN, str).tell, self.events[:at])))
        had = UiMessage.model_validate({"id": RUN, "role": "assistant", "parts": parts})
        mapping, client = ApprovalMapping(RUN, str, had=had), UiFold()
        async for event in retold(self.snapshots[known - 1], Scope(RUN)):
            client.take(mapping.tell(event))
        for event in self.events[known:]:
            client.take(mapping.tell(event))
        for part in reversed(parts):
            if part["type"] == "text":
                id_ = part["providerMetadata"]["stepwire"]["id"]
                client.texts[id_] = part["text"] + client.texts.get(id_, "")
            elif part["type"] == "file":
                client.files.append(part["url"])
        return client

    async def numbered(self, at: int, known: int = 0) -> list[bytes]:
        """The frames from a number on, for a client that has come back after so many events, when
        the log did not reach back to the first; with 0 it does."""
        first = self.events[0].cursor.seq
        mapping = NumberedMapping(RUN, str, first_seq=first, at=at)
        begin = 0
        if known:
            async for event in retold(self.snapshots[known - 1], Scope(RUN)):
                mapping.know(event)
            # The end has as many chunks as it needs.
            begin = min(at // CHUNKS, len(self.events) - 1)
        told = b"".join(map(mapping.tell, self.events[begin:]))
        return [frame + b"\n\n" for frame in told.split(b"\n\n")[:-1]]


def _parts(told: bytes) -> list[dict[str, Any]]:
    """The parts of the message that a client makes of these frames."""
    parts: list[dict[str, Any]] = []
    texts: dict[str, dict[str, Any]] = {}
    for frame in told.split(b"\n\n")[:-1]:
        chunk = json.loads(frame.removeprefix(b"data: "))
        if chunk["type"] == "text-start":
            about = {"providerMetadata": chunk["providerMetadata"]}
            texts[chunk["id"]] = {"type": "text", "text": ""} | about
            parts.append(texts[chunk["id"]])
        elif chunk["type"] == "text-delta":
            texts[chunk["id"]]["text"] += chunk["delta"]
        elif chunk["type"] == "file":
            parts.append(chunk)
    return parts


@over_histories
def test_wherever_a_client_attaches_it_has_the_whole_in_the_end(
    server: EmbeddedServer, drawn: list[tuple[Any, ...]]
) -> None:
    asyncio.run(_check(server.url, History.of(new_id(), drawn)))


async def _check(redis_url: str, history: History) -> None:
    stored = await Stored.of(redis_url, history)
    whole = await stored.attached(0)
    _agrees(whole, history)
    for at in range(1, len(stored.events) + 1):
        client = await stored.attached(at)
        _agrees(client, history)
        shown, told = (
            {
                id_: data
                for id_, data in one.data.items()
                if not data.get("removed") and id_ not in history.late
            }
            for one in (whole, client)
        )
        assert told == shown
        gone = history.removed | history.late | whole.data.keys() - shown.keys()
        left = [id_ for id_ in whole.order if id_ not in gone]
        assert [id_ for id_ in client.order if id_ not in gone] == left
        stale = history.removed | history.late
        here = {id_: tool for id_, tool in client.tools.items() if id_ not in stale}
        assert here == {id_: tool for id_, tool in whole.tools.items() if id_ in here}
        assert len(set(client.files)) == len(client.files)
        assert history.removed or set(whole.files) == set(client.files)


@over_histories
def test_at_whatever_number_a_client_comes_back_it_has_every_chunk_once(
    server: EmbeddedServer, drawn: list[tuple[Any, ...]]
) -> None:
    drawn = [op for op in drawn if op[0] not in ("rewrite", "halves", "remove")]
    asyncio.run(_check_numbers(server.url, History.of(new_id(), drawn), ends_say_more(drawn)))


@over_histories
def test_a_client_that_sends_its_message_back_has_the_whole_in_the_end(
    server: EmbeddedServer, drawn: list[tuple[Any, ...]]
) -> None:
    is_exact = all(op[0] != "halves" for op in drawn)
    asyncio.run(_check_back(server.url, History.of(new_id(), drawn), is_exact))


async def _check_back(redis_url: str, history: History, is_exact: bool) -> None:
    stored = await Stored.of(redis_url, history)
    whole, last = await stored.attached(0), len(stored.events)
    for at in range(1, last):
        for known in {at, (at + last) // 2, last}:
            client = await stored.come_back(at, known)
            _agrees(client, history)
            assert len(set(client.files)) == len(client.files)
            if known == at and is_exact:
                # Nothing has come in between: it is told nothing that it has.
                for step_id in client.texts.keys() - history.removed:
                    assert client.texts[step_id] == whole.texts[step_id]


def ends_say_more(drawn: list[tuple[Any, ...]]) -> bool:
    """Whether the end of a step brings text that was not streamed before."""
    return any(op[0] == "end" and op[2] for op in drawn)


async def _check_numbers(redis_url: str, history: History, end_tells: bool) -> None:
    stored = await Stored.of(redis_url, history)
    chunks = await stored.numbered(0)
    for at in range(len(chunks) - 1):
        # The state that is known is that of any moment after the cut.
        first = at // CHUNKS + 1
        assert await stored.numbered(at) == chunks[at:]
        later = {first, (first + len(stored.events)) // 2, len(stored.events)}
        for known in later if at and not end_tells else ():
            rest = await stored.numbered(at, min(known, len(stored.events)))
            assert len(rest) == len(chunks) - at
            client = UiFold()
            client.take(b"".join([*chunks[:at], *rest]))
            _agrees(client, history)


def _agrees(client: UiFold, history: History) -> None:
    """No character is lost and none is doubled; what was rewritten stands last."""
    assert client.is_over
    assert client.id == RUN
    for step_id, output in history.outputs.items():
        if history.types[step_id] != "assistant_message" or step_id in history.removed:
            continue
        if step_id in history.rewritten:
            assert client.texts[step_id].endswith(output)
        else:
            assert client.texts[step_id] == output

"""The routes that the transport of the Workflow SDK calls: streams that go on at a number."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from stepwire_core.errors import InvalidCursor, SessionNotFound
from stepwire_core.log.event_log import LogTail
from stepwire_core.values.cursor import Cursor
from stepwire_core.wire.kinds import RUN
from stepwire_gateway.auth.caller import Caller
from stepwire_gateway.auth.guard import CallerDep, needs
from stepwire_gateway.faces.aisdk.bodies import ChatRequest
from stepwire_gateway.faces.aisdk.numbered import CHUNKS, NumberedMapping
from stepwire_gateway.faces.aisdk.routes import HEADERS, ROUTE, ChatId, addresses, start
from stepwire_gateway.faces.answers import last_answering
from stepwire_gateway.faces.events import Scope
from stepwire_gateway.faces.face_stream import FaceStream
from stepwire_gateway.faces.retelling import retold
from stepwire_gateway.faces.starting import session_of
from stepwire_gateway.hub.written_snapshot import WrittenSnapshot
from stepwire_gateway.services import Services, ServicesDep

router = APIRouter(
    prefix="/aisdk/workflow", route_class=ROUTE, include_in_schema=False, tags=["aisdk"]
)

RUN_ID_HEADER: Final = "x-workflow-run-id"
TAIL_HEADER: Final = "x-workflow-stream-tail-index"

_REFERENCE: Final = re.compile(r"(.+)\.([0-9a-f]{32})\.([0-9]{1,19})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reference:
    """A stream, as clients name it: its numbers are those of one epoch of the log."""

    session_id: str
    run_id: str
    epoch: int

    def __str__(self) -> str:
        return f"{self.session_id}.{self.run_id}.{self.epoch}"


@router.post("")
@needs("write", session="body", counts="messages", fetched=True)
async def start_workflow(
    request: Request, services: ServicesDep, caller: CallerDep, body: ChatRequest
) -> Response:
    """As ``POST /aisdk/chat``; the answer says how to come back to its stream."""
    started = await start(request, services, caller, body)
    [top] = await services.log.tops([started.session_id])
    if top is None:
        raise SessionNotFound(started.session_id)
    stream = Reference(started.session_id, started.run_id, top.epoch)
    if started.after is None:
        # It was sent before, and may have begun.
        snapshot = await services.hub.snapshots.whole(started.session_id)
        return await _from(request, services, caller, stream, snapshot, at=0)
    reading = await services.hub.open(started.session_id, started.after)
    mapping = NumberedMapping(started.run_id, addresses(request))
    headers = HEADERS | {RUN_ID_HEADER: str(stream)}
    return FaceStream(reading, services, caller, mapping, Scope(started.run_id), headers=headers)


@router.get("/{chat_id}/stream")
@needs("read", session="body", counts="reads", fetched=True)
async def resume_workflow(
    request: Request,
    services: ServicesDep,
    caller: CallerDep,
    chat_id: ChatId,
    start_index: Annotated[int, Query(alias="startIndex", ge=-(2**31), le=2**31)] = 0,
) -> Response:
    """The chunks from a number on; a negative one stands for the beginning.

    ``chat_id`` is what the header of the first answer says, or the id of a chat: then it is the
    answer that is under way, and 204 if there is none.
    """
    if (match := _REFERENCE.fullmatch(chat_id)) is not None:
        session_id = session_of(caller, "read", match[1])
        stream = Reference(session_id, match[2], int(match[3]))
        snapshot = await services.hub.snapshots.whole(session_id)
        return await _from(request, services, caller, stream, snapshot, at=start_index)
    session_id = session_of(caller, "read", chat_id)
    try:
        snapshot = await services.hub.snapshots.whole(session_id)
    except SessionNotFound:
        return Response(status_code=204)
    # A client that has some of it comes back for the rest, also when that is all there will be.
    if (run := last_answering(snapshot, or_ended=start_index > 0)) is None:
        return Response(status_code=204)
    stream = Reference(session_id, run.run_id, snapshot.cursor.epoch)
    return await _from(request, services, caller, stream, snapshot, at=start_index)


async def _from(
    request: Request,
    services: Services,
    caller: Caller,
    stream: Reference,
    snapshot: WrittenSnapshot,
    *,
    at: int,
) -> Response:
    """The stream from a number on."""
    scope, first_seq = Scope(stream.run_id), _first_seq(snapshot, stream.run_id)
    # What waits for a worker has told nothing.
    tail = -1 if first_seq is None else CHUNKS * (snapshot.cursor.seq - first_seq + 1) - 1
    if at < 0:
        # In the middle of a part their client would fail (vercel/workflow#1835). So it gets all of
        # the message; and since it adds the two, the header makes it count from there.
        at, tail = 0, -at - 1
    after, mapping = _begin(snapshot, first_seq), None
    if at > 0 and not await _is_there(services, stream, after):
        # The log does not reach back to the beginning, by which all is exact: what the client has
        # been told is taken from what the session is now.
        after = await _cursor(services, stream, snapshot, first_seq, at)
        if not await _is_there(services, stream, after):
            raise InvalidCursor(f"startIndex={at} of {stream}")
        mapping = NumberedMapping(stream.run_id, addresses(request), first_seq=first_seq, at=at)
        async for event in retold(snapshot, scope):
            mapping.know(event)
    if mapping is None:
        mapping = NumberedMapping(stream.run_id, addresses(request), first_seq=first_seq, at=at)
    reading = await services.hub.open(stream.session_id, after)
    headers = HEADERS | {RUN_ID_HEADER: str(stream), TAIL_HEADER: str(tail)}
    return FaceStream(reading, services, caller, mapping, scope, headers=headers)


def _first_seq(snapshot: WrittenSnapshot, run_id: str) -> int | None:
    runs = snapshot.documents[RUN]
    return runs.orders[runs.ids.index(run_id)] if run_id in runs.ids else None


def _begin(snapshot: WrittenSnapshot, first_seq: int | None) -> Cursor:
    """Behind it is the first event of the run."""
    if first_seq is None:
        return snapshot.cursor
    return Cursor(snapshot.cursor.epoch, first_seq - 1)


async def _cursor(
    services: Services,
    stream: Reference,
    snapshot: WrittenSnapshot,
    first_seq: int | None,
    at: int,
) -> Cursor:
    """Behind it is the event whose chunks the number is one of."""
    if first_seq is None:
        return snapshot.cursor
    ended = await services.log.run_ended_at(stream.session_id, stream.run_id)
    seq = first_seq - 1 + at // CHUNKS
    # The end has as many chunks as it needs.
    return Cursor(snapshot.cursor.epoch, seq if ended is None else min(seq, ended.seq - 1))


async def _is_there(services: Services, stream: Reference, after: Cursor) -> bool:
    """Whether the log goes on from there: it reaches back to it, and has not begun anew since."""
    if after.epoch != stream.epoch:
        return False
    return isinstance(await services.hub.snapshots.read(stream.session_id, after), LogTail)

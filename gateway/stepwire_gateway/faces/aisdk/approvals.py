"""Asks as approvals of tools, for chats of ``ai`` 6 and 7.

Their protocol has one question: may this tool run? The stream ends with ``tool-approval-request``,
and the client sends its message again when the person has decided; the answer goes on there, in the
same message. An ask is such a question if it stands right below a tool that is running, and if one
of its actions has the payload ``{"approved": true}`` and another one ``{"approved": false}``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import Request

from stepwire_core.errors import InvalidArgument
from stepwire_gateway.faces.aisdk.mapping import TOOL, UiMessageMapping
from stepwire_gateway.faces.asking import give, made
from stepwire_gateway.faces.starting import Started, as_id, session_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stepwire_core.wire.documents import AskDocument
    from stepwire_gateway.api.asks import NewAnswer
    from stepwire_gateway.auth.caller import Caller
    from stepwire_gateway.faces.aisdk.bodies import Approval, UiMessage
    from stepwire_gateway.faces.aisdk.mapping import Chunk
    from stepwire_gateway.faces.events import FaceEvent
    from stepwire_gateway.services import Services


class ApprovalMapping(UiMessageMapping):
    """One run for a client that knows approvals; ``had`` is the message that it has already.

    The open ask is told as the approval alone; its end is a ``data-ask``, as for other clients.
    """

    def __init__(
        self, run_id: str, address: Callable[[str], str], *, had: UiMessage | None = None
    ) -> None:
        super().__init__(run_id, address)
        self._goes_on = had is not None
        self._had_urls = set[str]()
        self._tools: dict[str, str] = {}
        """The running tools that messages stand right below, by the message."""
        self._pending: dict[str, str] = {}
        """The tools that wait for an approval, by the ask."""
        for part in had.parts if had is not None else ():
            if part.url is not None:
                self._had_urls.add(part.url)
            about = (part.providerMetadata or {}).get("stepwire")
            if part.type == "text" and isinstance(about, dict) and isinstance(about.get("id"), str):
                self._know(about, part.text or "")

    def retold(self) -> bytes:
        return self.encoded(self._wait()) if self._pending else b""

    def chunks(self, event: FaceEvent) -> Iterator[Chunk]:
        data = event.data
        if event.type == "ask" and is_approval(data) and data["step_id"] in self._tools:
            if data["status"] == "open":
                self._pending[data["id"]] = self._tools[data["step_id"]]
            if self._pending and not event.is_retold:
                yield from self._wait()
            return
        if event.type == "ask.end":
            self._pending.pop(data["id"], None)
        yield from super().chunks(event)

    def _know(self, about: dict[str, Any], text: str) -> None:
        """Take a part in that the client has."""
        id_ = about["id"]
        if about.get("anew"):
            self._texts.forget(id_)
        self._parts[id_] = id_
        self._texts.add(id_, text)

    def _wait(self) -> Iterator[Chunk]:
        """End the stream, for the client to come back with the answers."""
        self.over = True
        for id_ in list(self._open):
            yield from self._close(id_)
        for ask_id, tool in self._pending.items():
            yield {"type": "tool-approval-request", "approvalId": ask_id, "toolCallId": tool}
        yield {"type": "finish-step"}
        metadata = {"run_id": self._run_id, "status": "running"}
        yield {"type": "finish", "messageMetadata": metadata}

    def _begin(self, run: dict[str, Any]) -> Iterator[Chunk]:
        for chunk in super()._begin(run):
            # Its client looks for tools in the newest step of the message alone.
            if not (self._goes_on and chunk["type"] == "start-step"):
                yield chunk

    def _message(self, step: dict[str, Any], *, has_ended: bool) -> Iterator[Chunk]:
        above = step["parent_id"]
        if self._kinds.get(above) == TOOL:
            self._tools[step["id"]] = above
        yield from super()._message(step, has_ended=has_ended)

    def _element(self, element: dict[str, Any]) -> Iterator[Chunk]:
        if self._address(element["url"]) in self._had_urls:
            self._files.add(element["id"])
        yield from super()._element(element)


def is_approval(ask: dict[str, Any]) -> bool:
    """Whether the answers of an ask say which of them approves, and which does not."""
    said = [action["payload"].get("approved") for action in ask["actions"]]
    return ask["kind"] == "action" and True in said and False in said


async def answer_approvals(
    request: Request, services: Services, caller: Caller, chat_id: str, message: UiMessage
) -> Started:
    """Answer the asks of a message that comes back, and go on with its run. The same again is taken
    once; every answer is looked at before the first is given.

    Raises:
        AskNotFound, AskEnded: the question does not exist, or has another answer.
        InvalidArgument: it is not a question of this kind.
        RunNotFound: the message is not of this session.
    """
    session_id = session_of(caller, "write", chat_id)
    run_id = as_id(message.id, "run")
    await services.log.known_run(session_id, run_id)
    asks = [(await services.log.ask(session_id, given.id), given) for given in message.approvals]
    answers = [(ask, _answer(ask, given)) for ask, given in asks]
    for ask, answer in answers:
        await give(request, services, caller, ask, answer)
    return Started(session_id, run_id, "", after=None)


def _answer(ask: AskDocument, given: Approval) -> NewAnswer:
    if not is_approval(ask.model_dump()):
        raise InvalidArgument(f"ask {ask.id!r} does not ask for an approval: answer it by its kind")
    chosen = next(
        action.id for action in ask.actions if action.payload.get("approved") is given.approved
    )
    return made(ask, {"action": chosen})

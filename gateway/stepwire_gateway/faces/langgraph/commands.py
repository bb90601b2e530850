"""What their clients ask of a thread: ``POST …/commands``."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stepwire_core.errors import Forbidden, InvalidArgument
from stepwire_core.values.ids import new_id
from stepwire_gateway.faces.answers import answering
from stepwire_gateway.faces.asking import answer_with, give
from stepwire_gateway.faces.starting import Said, ensure_session, say, stop
from stepwire_gateway.http.bodies import Object, require_bounded

if TYPE_CHECKING:
    from stepwire_gateway.auth.caller import Caller
    from stepwire_gateway.services import Services


class _Loose(BaseModel):
    """Other clients, and later ones, send more."""

    model_config = ConfigDict(extra="allow")


class Command(_Loose):
    id: int = Field(ge=0)
    method: str
    params: dict[str, Any] = Field(default_factory=dict)


class _Message(_Loose):
    """A message as LangChain writes it, or as OpenAI does."""

    id: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    type: str | None = None
    role: str | None = None
    content: str | list[dict[str, Any]] = ""

    @property
    def is_of_a_person(self) -> bool:
        return (self.type or self.role) in ("human", "user")

    @property
    def text(self) -> str:
        """What the person has written.

        Raises:
            InvalidArgument: it has something else than text.
        """
        if isinstance(self.content, str):
            return self.content
        if any(block.get("type") != "text" for block in self.content):
            raise InvalidArgument(
                "a message of this face is text; upload files with POST /v1/sessions/{sid}/elements"
            )
        return "\n".join(str(block.get("text", "")) for block in self.content)


class _Input(_Loose):
    messages: list[_Message] = Field(min_length=1)


class _RunStart(_Loose):
    input: _Input
    metadata: Object | None = None
    multitask_strategy: Literal["reject", "interrupt", "rollback", "enqueue"] | None = None


class _Response(_Loose):
    interrupt_id: str
    response: Any = None


class _Responses(_Loose):
    responses: list[_Response] = Field(min_length=1, max_length=1000)


_Model = TypeVar("_Model", bound=BaseModel)


async def run_start(
    request: Request, services: Services, caller: Caller, session_id: str, params: dict[str, Any]
) -> dict[str, Any]:
    """Send the last message; the run that answers it. The first one makes the session.

    A run that is under way is cancelled where the client asks for that and may; else the message
    waits for its turn.
    """
    asked = _checked(_RunStart, params)
    message = asked.input.messages[-1]
    if not message.is_of_a_person or not message.text:
        raise InvalidArgument("input.messages: the last one must be a person's, with content")
    require_bounded(message.text, asked.metadata or {}, services.settings)
    await ensure_session(request, services, caller, session_id, asked.metadata)
    if asked.multitask_strategy in ("interrupt", "rollback"):
        running = await answering(services, session_id)
        if running is not None:
            with suppress(Forbidden):
                caller.require("cancel", session_id)
                await stop(services, session_id, running.run_id)
    said = Said(message.id or new_id(), message.text, dict(asked.metadata or {}))
    started = await say(request, services, caller, session_id, said)
    return {"run_id": started.run_id}


async def input_respond(
    request: Request, services: Services, caller: Caller, session_id: str, params: dict[str, Any]
) -> dict[str, Any]:
    """Answer asks; every answer is looked at before the first is given. The handler goes on."""
    responses = _checked(_Responses, {"responses": params.get("responses", [params])}).responses
    asks = [await services.log.ask(session_id, one.interrupt_id) for one in responses]
    answers = [answer_with(ask, one.response) for ask, one in zip(asks, responses, strict=True)]
    for ask, answer in zip(asks, answers, strict=True):
        await give(request, services, caller, ask, answer)
    return {}


COMMANDS = {"run.start": run_start, "input.respond": input_respond}


def _checked(model: type[_Model], value: Any) -> _Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "params"
        raise InvalidArgument(f"{where}: {first['msg']}") from None

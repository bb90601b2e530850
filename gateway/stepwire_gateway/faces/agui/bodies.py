"""``RunAgentInput``: what clients of AG-UI send, of all versions."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from stepwire_core.errors import InvalidArgument
from stepwire_gateway.faces.agui.tree import application_state
from stepwire_gateway.http.bodies import Object, Text

_Name = Annotated[Text, Field(min_length=1, max_length=1000)]

_MEDIA: Final = frozenset({"image", "audio", "video", "document", "binary"})

METADATA: Final = "agui"
"""Where a handler finds what the client has sent beside a message: ``message.metadata["agui"]``."""


class _Loose(BaseModel):
    """Other clients, and later ones, send more; what may be left out may also be null."""

    model_config = ConfigDict(extra="allow")


class ToolFunction(_Loose):
    name: Text
    arguments: Text


class Call(_Loose):
    id: Text
    function: ToolFunction


class AgUiMessage(_Loose):
    id: _Name
    role: Text
    content: Text | list[Object] | Object | None = None
    toolCalls: list[Call] | None = None  # noqa: N815 - the protocol's name
    toolCallId: Text | None = None  # noqa: N815

    @property
    def text(self) -> str:
        """What the person has written."""
        if not isinstance(self.content, list):
            return self.content if isinstance(self.content, str) else ""
        texts = [part.get("text") for part in self.content if part.get("type") == "text"]
        return "\n".join(text for text in texts if isinstance(text, str))

    @property
    def media(self) -> list[dict[str, Any]]:
        """The parts of it that are files."""
        parts = self.content if isinstance(self.content, list) else []
        return [part for part in parts if part.get("type") in _MEDIA]


class Tool(_Loose):
    name: Text


class ResumeEntry(_Loose):
    interruptId: _Name  # noqa: N815
    status: Text
    payload: JsonValue = None


class RunAgentInput(_Loose):
    threadId: _Name  # noqa: N815
    runId: _Name  # noqa: N815
    protocolVersion: Text | None = None  # noqa: N815
    messages: list[AgUiMessage]
    state: JsonValue = None
    tools: list[Tool] | None = None
    context: list[Object] | None = None
    forwardedProps: JsonValue = None  # noqa: N815
    resume: list[ResumeEntry] | None = None

    @field_validator("state", "forwardedProps")
    @classmethod
    def _can_be_read_again(cls, value: JsonValue) -> JsonValue:
        _Checked(value={"value": value})
        return value

    @property
    def has(self) -> list[dict[str, Any]]:
        """The messages that the client has, as it has sent them."""
        return [message.model_dump(exclude_none=True) for message in self.messages]

    @property
    def props(self) -> dict[str, Any]:
        """The properties that a page passes to the handler, if they are an object."""
        return self.forwardedProps if isinstance(self.forwardedProps, dict) else {}

    def aside(self, most: int) -> dict[str, Any]:
        """What goes with a message to its handler, in at most so many characters of JSON: what does
        not fit is named in ``left_out``."""
        found: dict[str, Any] = {"runId": self.runId}
        tools = [tool.model_dump(exclude_none=True) for tool in self.tools or []]
        state = application_state(self.state)
        parts = {
            "forwardedProps": self.props,
            "tools": tools,
            "context": self.context,
            "state": state,
        }
        left_out = []
        for name, value in parts.items():
            if not value:
                continue
            if len(json.dumps({METADATA: found | {name: value}})) + 100 > most:
                left_out.append(name)
            else:
                found[name] = value
        return found | ({"left_out": left_out} if left_out else {})


class _Checked(BaseModel):
    value: Object


def file_of(part: dict[str, Any]) -> tuple[str, str, bytes] | None:
    """Name, media type and bytes of a file that is in a message itself; None: it has an address.

    Raises:
        InvalidArgument: it is neither.
    """
    source = part.get("source")
    # Older versions have no source, but the same fields on the part itself.
    found = source if isinstance(source, dict) else part
    mime = found.get("mimeType") or "application/octet-stream"
    data = found.get("data") if found is part else found.get("value")
    if found.get("type") == "url" or (found is part and not isinstance(data, str)):
        if not isinstance(found.get("value") if found is source else found.get("url"), str):
            raise InvalidArgument("messages: a file has neither data nor an address")
        return None
    try:
        content = base64.b64decode(str(data), validate=True)
    except binascii.Error:
        raise InvalidArgument("messages: the data of a file is not base64: send it again") from None
    about = part.get("metadata")
    name = about.get("filename") if isinstance(about, dict) else part.get("filename")
    return name if isinstance(name, str) and name else "file", str(mime), content

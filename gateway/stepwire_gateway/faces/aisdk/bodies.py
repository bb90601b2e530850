"""What ``DefaultChatTransport`` sends."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from stepwire_core.errors import InvalidArgument
from stepwire_gateway.http.bodies import Object, Text

_DATA_URL: Final = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),", re.ASCII)

_Name = Annotated[str, Field(min_length=1, max_length=1000)]


class _Loose(BaseModel):
    """Other clients, and later ones, send more."""

    model_config = ConfigDict(extra="allow")


class Approval(_Loose):
    """What the person has decided, of a tool that asks whether it may run."""

    id: _Name
    approved: StrictBool | None = None


class Part(_Loose):
    type: str
    text: Text | None = None
    url: str | None = None
    mediaType: str | None = None  # noqa: N815 - the protocol's name
    filename: str | None = None
    state: str | None = None
    approval: Approval | None = None
    providerMetadata: Object | None = None  # noqa: N815


class UiMessage(_Loose):
    id: _Name
    role: Literal["system", "user", "assistant"]
    parts: list[Part] = Field(max_length=10_000)
    metadata: Object | None = None

    @property
    def text(self) -> str:
        """What the person has written."""
        return "\n".join(part.text or "" for part in self.parts if part.type == "text")

    @property
    def approvals(self) -> list[Approval]:
        """What the person has decided of its tools."""
        given = [part.approval for part in self.parts if part.state == "approval-responded"]
        return [one for one in given if one is not None and one.approved is not None]


class ChatRequest(_Loose):
    """``POST /aisdk/chat``. Of the messages the last one of the person is read: the session has the
    others."""

    id: _Name
    messages: list[UiMessage] = Field(min_length=1)
    trigger: Literal["submit-message", "regenerate-message"] = "submit-message"
    messageId: str | None = None  # noqa: N815 - the protocol's name
    metadata: Object | None = Field(
        default=None, description="For `cl.user_session`, when the session begins."
    )

    @property
    def decided(self) -> UiMessage | None:
        """The message of the assistant that comes back with decisions: the last one, or an earlier
        one, which ``messageId`` names."""
        named = [message for message in self.messages if message.id == self.messageId]
        found = named[0] if named else self.messages[-1]
        is_decided = self.trigger == "submit-message" and found.role == "assistant"
        return found if is_decided and found.approvals else None

    @property
    def question(self) -> UiMessage:
        """The message to be answered.

        Raises:
            InvalidArgument: the last message is not from the user.
        """
        last = self.messages[-1]
        if self.trigger == "regenerate-message" and last.role == "assistant":
            # Some clients leave the answer in that is to be made again.
            last = self.messages[-2] if len(self.messages) > 1 else last
        if last.role != "user":
            raise InvalidArgument(
                f"messages: the last one is of the role {last.role!r}; send one of the role 'user'"
            )
        return last


def file_of(part: Part) -> tuple[str, str, bytes]:
    """Name, media type and bytes of a file that is in the message itself.

    Raises:
        InvalidArgument: it is not a data URL, as ``useChat`` makes them of files.
    """
    match = _DATA_URL.match(part.url or "")
    if match is None or ";base64" not in match[2]:
        raise InvalidArgument(
            "a file of a message is sent as a data URL (data:image/png;base64,…); upload others "
            "with POST /v1/sessions/{sid}/elements"
        )
    try:
        content = base64.b64decode((part.url or "")[match.end() :], validate=True)
    except binascii.Error:
        raise InvalidArgument("a file of a message is not base64: send it again") from None
    mime = part.mediaType or match[1] or "application/octet-stream"
    return part.filename or "file", mime, content

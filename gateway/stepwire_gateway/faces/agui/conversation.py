"""Documents of a session as messages of AG-UI: what ``MESSAGES_SNAPSHOT`` has, and what the events
of a stream lead to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Literal

from stepwire_core.wire.words import ASSISTANT_MESSAGE, USER_MESSAGE

if TYPE_CHECKING:
    from stepwire_core.wire.documents import Document

Form = Literal["person", "text", "tool", "step", "subagent"]
"""The form in which these clients get a step."""

_CALLS: Final = frozenset({"llm", "embedding", "retrieval", "rerank"})
"""Steps that are one call, and no agent of their own."""

_PART_OF: Final = {"image": "image", "audio": "audio", "video": "video"}
"""The part of a message that an element of that type is; any other is a document."""

BESIDE: Final = frozenset({"settings", "sidebar", "chat_profile"})
"""Elements that stand with no step: no message shows them."""

ACTIVITY: Final = "stepwire.element"


def form_of(step: Document, *, has_subagents: bool) -> Form:
    match step["type"]:
        case str(type_) if type_ == USER_MESSAGE:
            return "person"
        case str(type_) if type_ == ASSISTANT_MESSAGE:
            return "text"
        case "tool":
            return "tool"
        case type_:
            return "step" if not has_subagents or type_ in _CALLS else "subagent"


def result_id(call_id: str) -> str:
    """The id of the message that has the result of a call."""
    return f"{call_id}:result"


def arguments_piece(text: str, *, is_first: bool, is_object: bool) -> str:
    """A piece of an input as a piece of JSON: an object as it is, any other text in one."""
    if is_object:
        return text
    return ('{"input":"' if is_first else "") + json.dumps(text)[1:-1]


def arguments_end(text: str) -> str:
    """The end of the arguments, when the whole input is known."""
    if not text:
        return "{}"
    return "" if is_object(text) else '"}'


def is_object(text: str) -> bool:
    """Whether an input is told as it is, as the JSON that it begins like."""
    return text[:1] == "{"


def arguments(text: str, *, is_whole: bool) -> str:
    """The arguments of a call of which ``text`` is the input so far: always a beginning of what
    they are later."""
    begun = arguments_piece(text, is_first=True, is_object=is_object(text)) if text else ""
    return begun + (arguments_end(text) if is_whole else "")


def result_of(step: Document) -> str:
    """The result of a tool that has ended, or the reason why it has none."""
    if step["output"] or step["status"] == "ok":
        return str(step["output"])
    error = step.get("error")
    return f"{error['type']}: {error['message']}" if error else str(step["status"])


def person_content(
    step: Document, elements: list[Document], *, has_parts: bool
) -> str | list[dict[str, Any]]:
    """A person's text, with the files that were sent with it where the client takes parts."""
    text = str(step["output"])
    if not has_parts or not elements:
        return text
    said = [{"type": "text", "text": text}] if text else []
    return [*said, *map(_part, elements)]


def _part(element: Document) -> dict[str, Any]:
    return {
        "type": _PART_OF.get(element["type"], "document"),
        "source": {"type": "url", "value": element["url"], "mimeType": element["mime"]},
        "metadata": {"filename": element["name"], "id": element["id"]},
    }


def messages_of(
    step: Document,
    form: Form,
    *,
    files: list[Document],
    has_parts: bool,
    owned: dict[str, str],
) -> list[dict[str, Any]]:
    """The messages that a step is: none, one, or those of a call and its result; ``owned`` says
    which subagent they belong to."""
    if form == "person":
        content = person_content(step, files, has_parts=has_parts)
        return [{"id": step["id"], "role": "user", "content": content, **owned}]
    if form == "text":
        return [{"id": step["id"], "role": "assistant", "content": step["output"], **owned}]
    if form != "tool":
        return []
    has_ended = step["status"] != "running"
    function = {"name": step["name"], "arguments": arguments(step["input"], is_whole=has_ended)}
    call = {"id": step["id"], "type": "function", "function": function}
    messages = [{"id": step["id"], "role": "assistant", "toolCalls": [call], **owned}]
    if has_ended:
        result = {"role": "tool", "toolCallId": step["id"], "content": result_of(step)}
        messages.append({"id": result_id(step["id"]), **result, **owned})
    return messages


def activity_message(element: Document, owner: str | None) -> dict[str, Any]:
    """A file or a table that the agent shows: its bytes are at ``content.url``."""
    return {
        "id": element["id"],
        "role": "activity",
        "activityType": ACTIVITY,
        "content": element,
        **({} if owner is None else {"subagentRunId": owner}),
    }

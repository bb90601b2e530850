"""One call of a model through the OpenAI client, as a step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from stepwire._scope.context import innermost, own_frame
from stepwire.integrations._foreign import begin
from stepwire.integrations._guest import Guard
from stepwire_core.wire.documents import ErrorInfo

if TYPE_CHECKING:
    from stepwire._transport.producer import Producer
    from stepwire.integrations._foreign import Shown

_RAW_STREAM: Final = ("X-Stainless-Raw-Response", "stream")

guard = Guard("openai")


def begin_call(options: Any) -> Call | None:
    """The step of a request, if it asks a model, and inside a session."""
    with guard:
        kind = _KINDS.get(options.url)
        headers = options.headers if isinstance(options.headers, dict) else {}
        frame = own_frame()
        if kind is None or frame is None or options.method.lower() != "post":
            return None
        body = options.json_data
        # Under `with_streaming_response` this header says `stream`: reading is the caller's. But
        # a caller that asks for a stream of events most likely has it parsed.
        if _RAW_STREAM in headers.items() and not body.get("stream"):
            return None
        model = str(body.get("model") or "llm")
        return kind(
            begin(
                innermost(frame),
                frame=frame,
                source="openai",
                name=model,
                type="llm",
                model=model,
                asked=kind.question(body),
            )
        )
    return None


class Call:
    """A call and what has come back so far. Code that runs here in a caller's call never
    raises."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self._facts: dict[str, Any] = {}
        self._calls: dict[int, dict[str, Any]] = {}
        self._text: str | None = None
        self._error: ErrorInfo | None = None
        self._pulling = False
        self._over = False
        """It has ended, as far as anybody knows."""

    @property
    def producer(self) -> Producer:
        return self._shown.producer

    @staticmethod
    def question(body: dict[str, Any]) -> Any:
        """What a request asks."""
        raise NotImplementedError

    def whole(self, answer: Any) -> None:
        """Take a whole answer."""
        raise NotImplementedError

    def _piece(self, item: Any) -> str:
        """Take one item of a stream; the text in it."""
        raise NotImplementedError

    def streams(self) -> None:
        """The answer comes in items, of which none has been read; so it stands until the end."""
        self._shown.metadata["complete"] = False

    def streamed(self, item: Any) -> None:
        """Show one item of a stream."""
        with guard:
            self._shown.stream(self._piece(item), by=self)

    @contextmanager
    def failing(self) -> Iterator[None]:
        """What leaves the block ends the call."""
        try:
            yield
        except (StopIteration, StopAsyncIteration):
            self.end()
            raise
        except BaseException as error:
            self.end(error)
            raise

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While the client reads an item, it closes its own response: the reader is still there."""
        self._pulling = True
        try:
            with self.failing():
                yield
        finally:
            self._pulling = False

    def left(self) -> None:
        """The caller does not read on. If it does after all, the step is made whole again."""
        if not self._over and not self._pulling:
            self.end(complete=False)

    def end(self, error: BaseException | None = None, *, complete: bool = True) -> None:
        """End the step; if it has ended as left, make it whole."""
        with guard:
            if self._over and not complete:
                return
            self._over = True
            calls = list(self._calls.values())
            self._shown.metadata.pop("complete", None)
            self._shown.finish(
                output=self._text or calls or None,
                metadata=self._facts
                | {"tool_calls": calls, "complete": None if complete else False},
                error=error or self._error,
            )


class ChatCall(Call):
    """``/chat/completions``."""

    @staticmethod
    def question(body: dict[str, Any]) -> Any:
        return body.get("messages")

    def whole(self, answer: Any) -> None:
        self._take(answer)
        for choice in answer.choices:
            message = choice.message
            text = message.content or message.refusal or ""
            self._text = text if self._text is None else f"{self._text}\n\n{text}"
            self._facts["finish_reason"] = choice.finish_reason
            for call in message.tool_calls or ():
                # A custom tool has its input where a function has its arguments.
                tool = getattr(call, call.type)
                self._called(len(self._calls), call.id, tool.name, _arguments(tool))

    def _piece(self, item: Any) -> str:
        self._take(item)
        text = ""
        for choice in item.choices:
            if choice.index != 0 or choice.delta is None:
                continue
            if choice.finish_reason:
                self._facts["finish_reason"] = choice.finish_reason
            delta = choice.delta
            text += delta.content or delta.refusal or ""
            for call in delta.tool_calls or ():
                tool = call.function
                if tool is not None:
                    self._called(call.index, call.id, tool.name, tool.arguments)
        return text

    def _called(self, index: int, id: str | None, name: str | None, arguments: str | None) -> None:
        """Tool calls come whole or in pieces."""
        call = self._calls.setdefault(index, {"id": id, "name": name, "arguments": ""})
        call["arguments"] += arguments or ""

    def _take(self, answer: Any) -> None:
        self._facts |= {"model": answer.model, "response_id": answer.id}
        if answer.usage is not None:
            self._facts["usage"] = answer.usage.model_dump(exclude_none=True)


class ResponseCall(Call):
    """``/responses``."""

    @staticmethod
    def question(body: dict[str, Any]) -> Any:
        asked, instructions = body.get("input"), body.get("instructions")
        return {"instructions": instructions, "input": asked} if instructions else asked

    def whole(self, answer: Any) -> None:
        self._text = answer.output_text
        self._facts |= {
            "model": answer.model,
            "response_id": answer.id,
            "usage": answer.usage and answer.usage.model_dump(exclude_none=True),
            "finish_reason": (answer.incomplete_details and answer.incomplete_details.reason)
            or answer.status,
        }
        for index, item in enumerate(answer.output):
            if item.type.endswith("_call"):
                self._calls[index] = {
                    "id": getattr(item, "call_id", None) or item.id,
                    "name": getattr(item, "name", None) or item.type.removesuffix("_call"),
                    "arguments": _arguments(item),
                }
        if answer.error is not None:
            self._error = ErrorInfo(type=answer.error.code, message=answer.error.message)

    def _piece(self, item: Any) -> str:
        if item.type in ("response.output_text.delta", "response.refusal.delta"):
            return str(item.delta)
        if item.type in ("response.completed", "response.incomplete", "response.failed"):
            self.whole(item.response)
        elif item.type == "error":
            self._error = ErrorInfo(type=item.code or "APIError", message=item.message)
        return ""


def _arguments(tool: Any) -> Any:
    return getattr(tool, "arguments", None) or getattr(tool, "input", None)


_KINDS: Final[dict[str, type[Call]]] = {"/chat/completions": ChatCall, "/responses": ResponseCall}

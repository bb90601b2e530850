"""The OpenAI client: every call of a model is a step of type ``llm``.

::

    from stepwire.integrations import openai
    openai.instrument()

From then on ``chat.completions`` and ``responses`` of every client of this process, ``OpenAI``,
``AsyncOpenAI`` and what derives from them (Azure), whether made before or after, show what they do:
``create``, ``parse`` and ``stream``, streamed or whole, ``with_raw_response`` too.

Shown are the model as name, the messages as input, the answer as output, streamed while the caller
iterates, or the tool calls if there is no text; ``tool_calls``, ``model``, ``usage``,
``finish_reason`` and ``response_id`` in the metadata. An error of the API, before or in the middle
of a stream, is the step's error. A stream that its caller leaves ends the step with what had come;
``complete: false`` in the metadata says so. Of several choices the first is streamed.

What a call returns and raises is untouched, object by object: a stream stays the client's own.
Not shown: a body that the caller reads by hand (``with_streaming_response``; of a stream of events
what is parsed is shown), and websockets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openai import APIResponse, AsyncAPIResponse, AsyncOpenAI, AsyncStream, OpenAI, Stream

from stepwire.integrations._guest import Switch
from stepwire.integrations._openai_call import Call, begin_call, guard


def instrument() -> Callable[[], None]:
    """Show the calls of every client from now on; once, however often it is called.

    Returns what takes it back: :func:`uninstrument`.
    """
    return _switch.on()


def uninstrument() -> None:
    """Leave the clients as they were before :func:`instrument`; open streams still end."""
    _switch.off()


def _patch() -> Callable[[], None]:
    # Every endpoint, `parse` and `stream` of every version of the client end in this public method;
    # it has the request as JSON.
    undo_sync = _override(OpenAI, _sync(OpenAI.request))
    undo_async = _override(AsyncOpenAI, _async(AsyncOpenAI.request))

    def undo() -> None:
        undo_sync()
        undo_async()

    return undo


def _override(client: type[Any], method: Callable[..., Any]) -> Callable[[], None]:
    own = vars(client).get("request")
    client.request = method
    return lambda: delattr(client, "request") if own is None else setattr(client, "request", own)


def _sync(original: Callable[..., Any]) -> Callable[..., Any]:
    def request(self: OpenAI, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        call = begin_call(options)
        if call is None:
            return original(self, cast_to, options, *args, **kwargs)
        with guard:
            call.producer.room_sync()
        with call.failing():
            answer = original(self, cast_to, options, *args, **kwargs)
        _show(answer, call)
        return answer

    return request


def _async(original: Callable[..., Any]) -> Callable[..., Any]:
    async def request(
        self: AsyncOpenAI, cast_to: Any, options: Any, *args: Any, **kwargs: Any
    ) -> Any:
        call = begin_call(options)
        if call is None:
            return await original(self, cast_to, options, *args, **kwargs)
        with guard:
            await call.producer.room()
        with call.failing():
            answer = await original(self, cast_to, options, *args, **kwargs)
        _show(answer, call)
        return answer

    return request


_switch = Switch(_patch)


def _show(answer: Any, call: Call) -> None:
    """Show what the client is about to return; of a stream, every item as it passes."""
    with guard:
        if isinstance(answer, (APIResponse, AsyncAPIResponse)):
            _watch_closing(answer.http_response, answer, call)
            _watch_parsing(answer, call)
            return
        if hasattr(answer, "http_response"):
            # A raw response keeps what it has parsed: the caller gets this same object.
            answer = answer.parse()
        if isinstance(answer, (Stream, AsyncStream)):
            call.streams()
            _watch_closing(answer.response, answer, call)
            _watch_items(answer, call)
            return
        call.whole(answer)
    call.end()


def _watch_closing(response: Any, answer: Any, call: Call) -> None:
    """See it when the caller closes a stream that has more to come."""
    name = "aclose" if isinstance(answer, (AsyncStream, AsyncAPIResponse)) else "close"
    close = getattr(response, name)

    def closed() -> Any:
        # No cycle stays behind that would hold the connection until the next collection.
        delattr(response, name)
        call.left()
        return close()

    setattr(response, name, closed)


def _watch_parsing(answer: Any, call: Call) -> None:
    """Watch the stream that a body is parsed into; a body that is read otherwise is not watched."""
    parse = answer.parse

    def parsed(*args: Any, **kwargs: Any) -> Any:
        return _watch_items(parse(*args, **kwargs), call)

    async def async_parsed(*args: Any, **kwargs: Any) -> Any:
        return _watch_items(await parse(*args, **kwargs), call)

    answer.parse = async_parsed if isinstance(answer, AsyncAPIResponse) else parsed


def _watch_items(stream: Any, call: Call) -> Any:
    # A stream has no public way in. A body that is parsed twice is the same stream.
    if isinstance(stream, (Stream, AsyncStream)):
        inner = stream._iterator  # noqa: SLF001
        if not isinstance(inner, _Watched):
            stream._iterator = _Watched(inner, call)  # noqa: SLF001
    return stream


class _Watched:
    """The iterator inside a stream, of either kind; every item passes the step."""

    def __init__(self, inner: Any, call: Call) -> None:
        self._inner = inner
        self._call = call

    def __iter__(self) -> _Loop:
        return _Loop(self, self._call)

    __aiter__ = __iter__

    def __del__(self) -> None:
        # Never read, or read item by item and dropped.
        self._call.left()

    def __next__(self) -> Any:
        with self._call.reading():
            item = next(self._inner)
        self._call.streamed(item)
        with guard:
            self._call.producer.room_sync()
        return item

    async def __anext__(self) -> Any:
        with self._call.reading():
            item = await anext(self._inner)
        self._call.streamed(item)
        with guard:
            await self._call.producer.room()
        return item


class _Loop:
    """One loop over a stream: when the loop is left, so is the stream."""

    def __init__(self, stream: _Watched, call: Call) -> None:
        self._stream = stream
        self._call = call

    def __iter__(self) -> _Loop:
        return self

    __aiter__ = __iter__

    def __next__(self) -> Any:
        return next(self._stream)

    async def __anext__(self) -> Any:
        return await anext(self._stream)

    def __del__(self) -> None:
        self._call.left()

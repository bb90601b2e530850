"""A model on loopback that speaks chat completions and responses, and calls tools.

What a model does is in its name, so that one server serves all tests:

- ``plain`` answers ``You said: …``;
- ``echo`` answers with what it was told;
- ``roles`` answers with the roles of all messages;
- ``caller`` calls the first tool of the request, with ``{"city": "Paris"}``, and answers with the
  tool's result once that is among the messages;
- ``refuser`` refuses every request with a 400;
- ``breaker`` begins to stream and then reports an error in the stream;
- ``held`` streams its first word, then waits until :attr:`ModelServer.go_on` is set.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


@dataclass
class ModelServer:
    """The running server."""

    url: str = ""
    go_on: threading.Event = field(default_factory=threading.Event)
    requests: int = 0


@dataclass(frozen=True)
class Answer:
    """What the model says: text, or the call of a tool."""

    text: str = ""
    tool: str = ""

    arguments = '{"city":"Paris"}'

    @property
    def words(self) -> list[str]:
        words = self.text.split(" ")
        return [word if i == 0 else f" {word}" for i, word in enumerate(words)]


def answer(body: dict[str, Any]) -> Answer:
    messages: Any = body.get("messages", body.get("input"))
    last: dict[str, Any] = {"content": messages} if isinstance(messages, str) else messages[-1]
    result = last.get("output") if last.get("type") == "function_call_output" else None
    if last.get("role") == "tool":
        result = _text(last["content"])
    if result is not None:
        return Answer(f"The tool said: {result}")
    if body["model"] == "roles":
        return Answer(", ".join(message["role"] for message in body["messages"]))
    if body["model"] == "caller" and body.get("tools"):
        tool = body["tools"][0]
        return Answer(tool=tool.get("function", tool)["name"])
    said = _text(last["content"])
    return Answer(said if body["model"] == "echo" else f"You said: {said}")


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


@contextmanager
def model_server() -> Iterator[ModelServer]:
    """Serve while the block runs."""
    model = ModelServer()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            _app(model), log_level="warning", lifespan="off", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), name="model-server")
        thread.start()
        try:
            model.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
            yield model
        finally:
            model.go_on.set()
            server.should_exit = True
            thread.join()


def _app(model: ModelServer) -> Starlette:
    async def serve(http: Request) -> Response:
        model.requests += 1
        body = await http.body()
        request = json.loads(body)
        if request["model"] == "refuser":
            error = {"message": "No.", "type": "invalid_request_error", "code": "refused"}
            return JSONResponse({"error": error}, 400)
        chat = http.url.path.endswith("/chat/completions")
        said = answer(request)
        if not request.get("stream"):
            return JSONResponse(_completion(request, said) if chat else _response(request, said))
        events = _chunks(request, said) if chat else _events(request, said)
        return StreamingResponse(_frames(model, request, events), media_type="text/event-stream")

    return Starlette(
        routes=[
            Route("/v1/chat/completions", serve, methods=["POST"]),
            Route("/v1/responses", serve, methods=["POST"]),
        ]
    )


async def _frames(
    model: ModelServer, request: dict[str, Any], events: Iterator[dict[str, Any]]
) -> AsyncIterator[str]:
    for number, event in enumerate(events):
        type_ = event.get("type")
        yield (f"event: {type_}\n" if type_ else "") + f"data: {json.dumps(event)}\n\n"
        if request["model"] == "breaker" and number == 2:
            yield f"data: {json.dumps({'error': {'message': 'It broke.', 'code': 'broken'}})}\n\n"
            return
        if request["model"] == "held" and number == 1:
            while not model.go_on.is_set():  # noqa: ASYNC110 - the event is a thread's
                await asyncio.sleep(0.005)
    yield "data: [DONE]\n\n"


# -- chat completions: https://platform.openai.com/docs/api-reference/chat -----------------------


def _base(request: dict[str, Any], kind: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": kind,
        "created": int(time.time()),
        "model": request["model"],
    }


def _completion(request: dict[str, Any], said: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": said.text or None}
    if said.tool:
        function = {"name": said.tool, "arguments": said.arguments}
        message["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": "tool_calls" if said.tool else "stop",
    }
    return _base(request, "chat.completion") | {"choices": [choice], "usage": USAGE}


def _chunks(request: dict[str, Any], said: Answer) -> Iterator[dict[str, Any]]:
    base = _base(request, "chat.completion.chunk")

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return base | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    yield chunk({"role": "assistant", "content": None if said.tool else ""})
    if said.tool:
        call = {
            "index": 0,
            "id": "call_1",
            "type": "function",
            "function": {"name": said.tool, "arguments": ""},
        }
        yield chunk({"tool_calls": [call]})
        for piece in (said.arguments[:6], said.arguments[6:]):
            yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    for word in said.words if said.text else ():
        yield chunk({"content": word})
    yield chunk({}, "tool_calls" if said.tool else "stop")
    if (request.get("stream_options") or {}).get("include_usage"):
        yield base | {"choices": [], "usage": USAGE}


# -- responses: https://platform.openai.com/docs/api-reference/responses -------------------------


def _response(request: dict[str, Any], said: Answer, *, done: bool = True) -> dict[str, Any]:
    usage = {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 7,
    }
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": time.time(),
        "model": request["model"],
        "status": "completed" if done else "in_progress",
        "error": None,
        "incomplete_details": None,
        "output": [_item(said)] if done else [],
        "usage": usage if done else None,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }


def _item(said: Answer) -> dict[str, Any]:
    if said.tool:
        return {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_1",
            "name": said.tool,
            "arguments": said.arguments,
            "status": "completed",
        }
    part = {"type": "output_text", "text": said.text, "annotations": []}
    return {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }


def _events(request: dict[str, Any], said: Answer) -> Iterator[dict[str, Any]]:
    number = 0

    def event(type_: str, **fields: Any) -> dict[str, Any]:
        nonlocal number
        number += 1
        return {"type": type_, "sequence_number": number, **fields}

    yield event("response.created", response=_response(request, said, done=False))
    item = _item(said)
    at = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    unsaid: dict[str, Any] = {"arguments": ""} if said.tool else {"content": []}
    empty = item | unsaid
    yield event("response.output_item.added", output_index=0, item=empty)
    if said.tool:
        here = {"item_id": item["id"], "output_index": 0}
        yield event("response.function_call_arguments.delta", delta=said.arguments, **here)
        yield event(
            "response.function_call_arguments.done",
            name=said.tool,
            arguments=said.arguments,
            **here,
        )
    else:
        part = {"type": "output_text", "text": "", "annotations": []}
        yield event("response.content_part.added", part=part, **at)
        for word in said.words:
            yield event("response.output_text.delta", delta=word, logprobs=[], **at)
        yield event("response.output_text.done", text=said.text, logprobs=[], **at)
        yield event("response.content_part.done", part=part | {"text": said.text}, **at)
    yield event("response.output_item.done", output_index=0, item=item)
    yield event("response.completed", response=_response(request, said))

"""A stand-in for OpenAI's chat completions, on loopback: no key, no network, no cost.

In a test or a script::

    with openai_stub() as url:
        client = AsyncOpenAI(base_url=url, api_key="any")

For a program that you do not want to touch::

    python examples/openai_stub.py --port 8099
    OPENAI_BASE_URL=http://127.0.0.1:8099/v1 OPENAI_API_KEY=any stepwire dev app.py

It answers ``POST /v1/chat/completions``, streamed or whole, in the shapes of
https://platform.openai.com/docs/api-reference/chat, and refuses what OpenAI refuses with the same
errors. What it says is what ``reply`` returns: by default, the last message back.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import socket
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal

import uvicorn
from pydantic import BaseModel, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route


class TextPart(BaseModel):
    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    role: Literal["developer", "system", "user", "assistant", "tool"]
    content: str | list[TextPart] = ""

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content)


class StreamOptions(BaseModel):
    include_usage: bool = False


class ChatRequest(BaseModel):
    """The parts of a request that change the answer; all others are accepted and ignored."""

    model: str = Field(min_length=1)
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()


Reply = Callable[[ChatRequest], str]


class Refused(Exception):
    """A request that OpenAI would refuse, with its error object as the response."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
        self.response = JSONResponse({"error": error}, status)


def echo(request: ChatRequest) -> str:
    """The last message, given back."""
    return f"You said: {request.messages[-1].text}"


def create_app(reply: Reply = echo, *, token_delay_s: float = 0.01) -> Starlette:
    """The server as an ASGI app."""

    async def chat_completions(http: Request) -> Response:
        try:
            _check_key(http)
            request = _parse(await http.body())
        except Refused as refused:
            return refused.response
        if not request.stream:
            return JSONResponse(_completion(request, reply(request)))
        return StreamingResponse(
            _frames(request, reply(request), token_delay_s), media_type="text/event-stream"
        )

    async def unknown(http: Request) -> Response:
        return Refused(404, f"Invalid URL ({http.method} {http.url.path})").response

    return Starlette(
        routes=[
            Route("/v1/chat/completions", chat_completions, methods=["POST"]),
            Route("/{path:path}", unknown, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
        ]
    )


@contextmanager
def openai_stub(
    reply: Reply = echo, *, port: int = 0, token_delay_s: float = 0.01
) -> Iterator[str]:
    """Serve on loopback while the block runs; yields the ``base_url`` for a client.

    Raises:
        OSError: the port is taken.
    """
    with socket.create_server(("127.0.0.1", port)) as listener:
        app = create_app(reply, token_delay_s=token_delay_s)
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
        )
        # It listens already: a client that comes before the thread is up waits, and is served.
        thread = threading.Thread(target=server.run, args=([listener],), name="openai-stub")
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            server.should_exit = True
            thread.join()


def _check_key(http: Request) -> None:
    if not re.fullmatch(r"Bearer \S+", http.headers.get("authorization", "")):
        raise Refused(
            401,
            "You didn't provide an API key. You need to provide your API key in an Authorization "
            "header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
        )


def _parse(body: bytes) -> ChatRequest:
    try:
        return ChatRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        raise Refused(400, "We could not parse the JSON body of your request.")
    param = ".".join(map(str, first["loc"])) or "body"
    if first["type"] == "missing":
        code = "missing_required_parameter"
        raise Refused(400, f"Missing required parameter: '{param}'.", param=param, code=code)
    raise Refused(400, f"Invalid '{param}': {first['msg']}.", param=param, code="invalid_value")


async def _frames(request: ChatRequest, text: str, token_delay_s: float) -> AsyncIterator[str]:
    for chunk in _chunks(request, text):
        yield f"data: {json.dumps(chunk)}\n\n"
        await asyncio.sleep(token_delay_s)
    yield "data: [DONE]\n\n"


def _chunks(request: ChatRequest, text: str) -> Iterator[dict[str, Any]]:
    """The role, the text token by token, the reason for the end, and the usage if asked for."""
    base = _base(request, "chat.completion.chunk")
    usage = {"usage": None} if request.stream_options.include_usage else {}
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "", "refusal": None}]
    deltas += ({"content": token} for token in _tokens(text))
    for delta in deltas:
        yield base | {"choices": [_choice("delta", delta, None)]} | usage
    yield base | {"choices": [_choice("delta", {}, "stop")]} | usage
    if usage:
        yield base | {"choices": [], "usage": _usage(request, text)}


def _completion(request: ChatRequest, text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": None}
    return _base(request, "chat.completion") | {
        "choices": [_choice("message", message, "stop")],
        "usage": _usage(request, text),
    }


def _base(request: ChatRequest, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": request.model,
        "system_fingerprint": "fp_stub",
    }


def _choice(kind: str, content: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
    return {"index": 0, kind: content, "logprobs": None, "finish_reason": finish_reason}


def _usage(request: ChatRequest, text: str) -> dict[str, int]:
    prompt = sum(len(_tokens(message.text)) for message in request.messages)
    completion = len(_tokens(text))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _tokens(text: str) -> list[str]:
    """Words with the space before them, as OpenAI's tokenisers cut; together they are the text."""
    return re.findall(r"\s*\S+|\s+$", text)


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="A stand-in for OpenAI's chat completions.")
    parser.add_argument("--port", type=int, default=8099, help="default: %(default)s")
    with openai_stub(port=parser.parse_args().port) as url:
        print(f"OPENAI_BASE_URL={url} OPENAI_API_KEY=any", flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()

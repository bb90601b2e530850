"""The fold of the chunks of a UI message stream into a message, as ``ai`` does it, but strictly."""

from __future__ import annotations

import json
from typing import Any


class UiFold:
    """The message that a stream has told so far."""

    def __init__(self) -> None:
        self.id: str | None = None
        self.texts: dict[str, str] = {}
        """By the message of the session: all of its text parts, one after another."""
        self.tools: dict[str, dict[str, Any]] = {}
        self.data: dict[str, dict[str, Any]] = {}
        self.files: list[str] = []
        self.order: list[str] = []
        """The ids of messages and steps, as they have first come."""
        self.is_over = False
        self._open: dict[str, str] = {}
        self._parts: set[str] = set()

    def take(self, encoded: bytes) -> None:
        for frame in encoded.decode().split("\n\n")[:-1]:
            assert not self.is_over, "something after the end"
            content = frame.removeprefix("data: ")
            if content == "[DONE]":
                self.is_over = True
            else:
                self._chunk(json.loads(content))

    def _chunk(self, chunk: dict[str, Any]) -> None:
        type_ = chunk["type"]
        if type_ == "start":
            assert self.id is None, "it begins twice"
            self.id = chunk["messageId"]
        else:
            assert self.id is not None, f"{type_} before the start"
        if type_.startswith("text-"):
            self._text(type_, chunk)
        elif type_.startswith("tool-"):
            self._tool(type_, chunk)
        elif type_ == "file":
            self.files.append(chunk["url"])
        elif type_.startswith("data-") and not chunk.get("transient"):
            self._see(chunk["id"])
            self.data[chunk["id"]] = chunk["data"]
        elif type_ in ("finish-step", "finish"):
            assert not self._open, "a text is open at the end"

    def _text(self, type_: str, chunk: dict[str, Any]) -> None:
        part = chunk["id"]
        if type_ == "text-start":
            assert part not in self._parts, "the same part twice"
            self._parts.add(part)
            self._open[part] = chunk["providerMetadata"]["stepwire"]["id"]
            self.texts.setdefault(self._open[part], "")
            self._see(self._open[part])
        elif type_ == "text-delta":
            self.texts[self._open[part]] += chunk["delta"]
        else:
            del self._open[part]

    def _tool(self, type_: str, chunk: dict[str, Any]) -> None:
        call = chunk["toolCallId"]
        if type_ == "tool-input-available":
            self.tools[call] = {"name": chunk["toolName"], "input": chunk["input"]}
            self._see(call)
        else:
            known = self.tools[call]
            known |= {"output": chunk.get("output"), "error": chunk.get("errorText")}

    def _see(self, id_: str) -> None:
        if id_ not in self.order:
            self.order.append(id_)

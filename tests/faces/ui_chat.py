"""``useChat`` without a page: a chat of the stock package ``ai`` in Node, at a real gateway."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from npm_packages import node

USECHAT: Final = Path(__file__).parents[2] / "examples" / "faces" / "usechat"
_SCRIPT: Final = Path(__file__).with_name("chat.mjs")


@dataclass(frozen=True, slots=True)
class Shown:
    """What the chat shows at the end."""

    messages: list[dict[str, Any]]
    status: str
    errors: list[str]
    finished: list[dict[str, bool]]
    transient: list[dict[str, Any]]
    requests: list[dict[str, Any]]

    @property
    def answer(self) -> dict[str, Any]:
        assert self.messages[-1]["role"] == "assistant", self.messages
        return self.messages[-1]

    @property
    def text(self) -> str:
        return text_of(self.answer)

    def parts(self, type_: str) -> list[dict[str, Any]]:
        return [part for part in self.answer["parts"] if part["type"] == type_]


def text_of(message: dict[str, Any]) -> str:
    return "".join(part["text"] for part in message["parts"] if part["type"] == "text")


def chat(
    api: str, chat_id: str, *actions: list[Any], package: str = "ai", **options: object
) -> Shown:
    """Do these things in a chat: each is the name of an action of ``chat.mjs`` and its values."""
    asked = {
        "packages": str(USECHAT),
        "package": package,
        "api": api,
        "chat": chat_id,
        "actions": actions,
        **options,
    }
    flag = "--experimental-import-meta-resolve"
    done = node(USECHAT, flag, str(_SCRIPT), stdin=json.dumps(asked))
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout.splitlines()[-1])
    shown.pop("error", None)
    return Shown(**shown)


def said(text: str) -> list[Any]:
    """The action that sends a message and waits for the whole answer."""
    return ["send", {"text": text}]

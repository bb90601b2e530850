"""The handlers of the compose test."""

from __future__ import annotations

import asyncio
import os
import socket

import iniconfig  # requirements.txt of this folder

import stepwire as cl

PACKAGE = iniconfig.__name__


@cl.on_message(max_attempts=3)
async def count(message: cl.Message) -> None:
    """Says where it runs, then counts as far as the message says, ten numbers a second."""
    async with cl.Step(name="host") as step:
        step.output = socket.gethostname()
    async with cl.Step(name="key") as step:
        step.output = os.environ.get("HANDLER_KEY", "")
    async with cl.Step(name="count") as step:
        for number in range(int(message.content)):
            await step.stream_token(f"<{number}>")
            await asyncio.sleep(0.1)

"""A program whose output is live, line by line, and which stops when the person stops it.

    stepwire dev examples/cookbook/subprocess_output.py

Write a word, and grep looks for it in the folder of FOLDER. A new message takes the place of the
search that is under way (``concurrency="interrupt"``), as the button Stop does: the handler is
cancelled, the step ends as ``cancelled`` with what was found so far, and no process is left behind.
"""

import asyncio
import os
from asyncio.subprocess import PIPE

import stepwire as cl

FOLDER = os.environ.get("FOLDER", ".")


async def grep(word: str) -> int:
    """The number of lines with a word; people see them as they are found."""
    lines = 0
    async with cl.Step(name="grep", type="tool", language="text") as step:
        step.input = word
        # "--": a word that begins with a dash is not an option.
        process = await asyncio.create_subprocess_exec(
            "grep", "-rnIF", "--line-buffered", "--", word, FOLDER, stdout=PIPE
        )
        try:
            assert process.stdout is not None  # it is a pipe
            async for line in process.stdout:
                await step.stream_token(line.decode(errors="replace"))
                lines += 1
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
    return lines


@cl.on_message(concurrency="interrupt", timeout_s=300)
async def main(message: cl.Message) -> None:
    lines = await grep(message.content)
    await cl.Message(f"Lines with {message.content!r}: {lines}").send()

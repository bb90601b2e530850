"""A run that is tried again without paying for the model again.

    OPENAI_API_KEY=… stepwire dev examples/cookbook/durable_steps.py

The handler writes a text and files it in OUTBOX. If that fails, or the worker dies, the run is
tried again: what a durable step has ended well stays done, and its step says from which attempt it
is. Make the folder OUTBOX while the run waits, and the next attempt files the text.
"""

import os
from pathlib import Path

from openai import AsyncOpenAI

import stepwire as cl

MODEL = os.environ.get("OPENAI_MODEL", "gpt-4o-mini")
OUTBOX = Path(os.environ.get("OUTBOX", "outbox"))

client = AsyncOpenAI()


@cl.step(type="llm", durable=True)
async def write(prompt: str) -> str:
    reply = await client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": prompt}]
    )
    return reply.choices[0].message.content or ""


@cl.step(type="tool")
def file_text(run_id: str, text: str) -> str:
    # The run has one id in all attempts: filed twice, it is one file.
    path = OUTBOX / f"{run_id}.txt"
    path.write_text(text)
    return path.name


@cl.on_message(max_attempts=6, retry_on=OSError, backoff_s=0.5)
async def main(message: cl.Message) -> None:
    text = await write(message.content)
    name = file_text(str(cl.context.run_id), text)
    await cl.Message(f"The text is in {name}.").send()

"""A chat in which the model knows the conversation so far.

    OPENAI_API_KEY=… stepwire dev examples/cookbook/chat_history.py

``cl.chat_context`` has the messages of the session, whichever worker has sent them. So there is no
list to keep, and nothing is forgotten when a worker restarts.
"""

import os
from typing import Any

from openai import AsyncOpenAI

import stepwire as cl

MODEL = os.environ.get("OPENAI_MODEL", "gpt-4o-mini")
MOST_MESSAGES = 20
INSTRUCTIONS = {"role": "system", "content": "You are a patient teacher. Be brief."}

client = AsyncOpenAI()


@cl.on_message
async def main(_message: cl.Message) -> None:
    # The last ones, the new question among them: a long chat costs no more than a short one.
    messages: list[Any] = [INSTRUCTIONS, *cl.chat_context.to_openai()[-MOST_MESSAGES:]]
    answer = cl.Message()
    stream = await client.chat.completions.create(model=MODEL, messages=messages, stream=True)
    async for part in stream:
        if part.choices and (token := part.choices[0].delta.content):
            await answer.stream_token(token)
    await answer.send()


@cl.task
async def forget() -> None:
    """For a button of the page (``POST …/runs``): begin anew, in the same session."""
    cl.chat_context.clear()
    await cl.Message("Let us talk about something else.").send()

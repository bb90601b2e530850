"""An answer that streams, token by token, from OpenAI's client.

    OPENAI_API_KEY=… stepwire dev examples/cookbook/streaming.py

People see the message grow. The call itself is a step beside it, with its prompt and its usage:
the integration makes that step.
"""

import os

from openai import AsyncOpenAI

import stepwire as cl
from stepwire.integrations import openai

MODEL = os.environ.get("OPENAI_MODEL", "gpt-4o-mini")

client = AsyncOpenAI()
openai.instrument()


@cl.on_message
async def main(message: cl.Message) -> None:
    answer = cl.Message()
    stream = await client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": message.content}],
        stream=True,
        stream_options={"include_usage": True},
    )
    async for part in stream:
        # The last part has the usage, and no choice.
        if part.choices and (token := part.choices[0].delta.content):
            await answer.stream_token(token)
    await answer.send()

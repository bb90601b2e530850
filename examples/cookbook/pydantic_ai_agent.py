"""An agent made with Pydantic AI; its requests and tools are steps, and its answer streams.

    OPENAI_API_KEY=… stepwire dev examples/cookbook/pydantic_ai_agent.py

The conversation is kept in ``user_session`` as JSON, so the agent remembers it on every worker.
"""

import json
import os

from pydantic_ai import Agent, ModelMessagesTypeAdapter

import stepwire as cl
from stepwire.integrations import pydantic_ai

pydantic_ai.instrument()
MODEL = os.environ.get("OPENAI_MODEL", "gpt-4o-mini")
agent = Agent(f"openai-chat:{MODEL}", instructions="Be brief.", name="agent")


@agent.tool_plain
async def weather(city: str) -> str:
    """The weather in a city now."""
    return f"Sunny in {city}, 21 °C"


@cl.on_message
async def main(message: cl.Message) -> None:
    history = ModelMessagesTypeAdapter.validate_python(cl.user_session.get("history", []))
    answer = cl.Message()
    async with agent.run_stream(message.content, message_history=history) as result:
        async for text in result.stream_text(delta=True):
            await answer.stream_token(text)
    await answer.send()
    cl.user_session.set("history", json.loads(result.all_messages_json()))

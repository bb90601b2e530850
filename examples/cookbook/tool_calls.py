"""A model that calls tools, as many as it wants, until it answers.

    OPENAI_API_KEY=… stepwire dev examples/cookbook/tool_calls.py

The integration makes a step of each call of the model, and each tool is a step of its own. Tools
that the model wants at the same time run at the same time.
"""

import asyncio
import os
from typing import Any

from openai import AsyncOpenAI, pydantic_function_tool
from pydantic import BaseModel, ValidationError

import stepwire as cl
from stepwire.integrations import openai

MODEL = os.environ.get("OPENAI_MODEL", "gpt-4o-mini")
MOST_ROUNDS = 5

client = AsyncOpenAI()
openai.instrument()


class Weather(BaseModel):
    """The weather in a city now."""

    city: str

    async def result(self) -> str:
        return f"Sunny in {self.city}, 21 °C"


TOOLS = {"weather": Weather}
SCHEMAS = [pydantic_function_tool(tool, name=name) for name, tool in TOOLS.items()]


async def use(call: Any) -> dict[str, str]:
    """The answer of a tool, as a message for the model."""
    async with cl.Step(name=call.function.name, type="tool", show_input="json") as step:
        step.input = call.function.arguments
        try:
            step.output = await TOOLS[call.function.name].model_validate_json(step.input).result()
        except (KeyError, ValidationError) as error:
            step.output = f"This call does not work, try another one: {error}"
    return {"role": "tool", "tool_call_id": call.id, "content": step.output}


async def answer(messages: list[Any]) -> str:
    for _ in range(MOST_ROUNDS):
        reply = await client.chat.completions.create(model=MODEL, messages=messages, tools=SCHEMAS)
        said = reply.choices[0].message
        if not said.tool_calls:
            return said.content or ""
        messages.append(said)
        messages += await asyncio.gather(*(use(call) for call in said.tool_calls))
    return "I did not come to an answer."


@cl.on_message
async def main(message: cl.Message) -> None:
    async with cl.Step(name="agent", type="run"):
        text = await answer([{"role": "user", "content": message.content}])
    await cl.Message(text).send()

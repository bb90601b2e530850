"""An agent made with the OpenAI Agents SDK.

    OPENAI_API_KEY=… stepwire dev examples/cookbook/agents_sdk.py

The steps show which agent works, what it asks the model, and which tools it uses.
"""

import os

from agents import Agent, Runner, function_tool, set_trace_processors

import stepwire as cl
from stepwire.integrations import openai, openai_agents

# The SDK would send what it traces to OpenAI; here it only becomes steps.
set_trace_processors([])
openai_agents.instrument()
# This one adds the tokens to them.
openai.instrument()

MODEL = os.environ.get("OPENAI_MODEL", "gpt-4o-mini")


@function_tool
async def weather(city: str) -> str:
    """The weather in a city now."""
    async with cl.Step(name="station", type="tool") as step:
        step.output = f"Sunny in {city}, 21 °C"
    return step.output


guide = Agent(
    name="guide",
    instructions="Answer questions about journeys; ask for the weather first.",
    model=MODEL,
    tools=[weather],
)


@cl.on_message
async def main(message: cl.Message) -> None:
    result = await Runner.run(guide, message.content)
    await cl.Message(str(result.final_output), author=result.last_agent.name).send()

"""Questions to begin with, for a person who does not know what to ask.

    stepwire dev examples/cookbook/starters.py

They are buttons of the first message. A click is answered as if the person had written it.
"""

import stepwire as cl

STARTERS = {
    "Plan a week": "What could I cook this week?",
    "Use leftovers": "What can I make of rice and two eggs?",
}


async def answer(question: str) -> None:
    async with cl.Step(name="think", type="llm") as step:
        step.input = question
        step.output = f"{len(question.split())} words, and all of them about food"
    await cl.Message(step.output).send()


@cl.on_chat_start
async def begin() -> None:
    actions = [
        cl.Action(name="starter", payload={"question": question}, label=label)
        for label, question in STARTERS.items()
    ]
    await cl.Message("Ask me about food.", actions=actions).send()


@cl.action_callback("starter")
async def start(action: cl.Action) -> None:
    # The others stay for later.
    await action.remove()
    question = action.payload["question"]
    await cl.Message(question, author="User", type="user_message").send()
    await answer(question)


@cl.on_message
async def main(message: cl.Message) -> None:
    await answer(message.content)

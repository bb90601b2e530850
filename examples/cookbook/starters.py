"""Kinds of conversation to choose from, each with questions to begin with.

    stepwire dev examples/cookbook/starters.py

A page shows them before there is a session (``GET /v1/start``). A starter is sent as a message; the
profile belongs to the session for as long as it lives.
"""

import stepwire as cl

COOKS = {"home": "what the kitchen has", "chef": "what a restaurant would serve"}


@cl.set_chat_profiles
async def profiles(user: cl.User | None) -> list[cl.ChatProfile]:
    name = "you" if user is None else user.identifier
    dinner = cl.Starter(label="Impress guests", message="What do I cook for six guests?")
    return [
        cl.ChatProfile("home", f"Cooks **for {name}**, every day", icon="home", default=True),
        cl.ChatProfile("chef", "Cooks _for a feast_", icon="star", starters=[dinner]),
    ]


@cl.set_starters
async def starters() -> list[cl.Starter]:
    return [
        cl.Starter(label="Plan a week", message="What could I cook this week?"),
        cl.Starter(label="Use leftovers", message="What can I make of rice and two eggs?"),
    ]


@cl.on_chat_start
async def begin() -> None:
    profile = cl.user_session.get("chat_profile")
    await cl.Message(f"Ask me about {COOKS[profile]}.").send()


@cl.on_message
async def main(message: cl.Message) -> None:
    async with cl.Step(name="think", type="llm") as step:
        step.input = message.content
        step.output = f"{len(message.content.split())} words, and all of them about food"
    await cl.Message(step.output, author=cl.user_session.get("chat_profile")).send()

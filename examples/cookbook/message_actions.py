"""Buttons on a message that work for as long as the message is there.

    stepwire dev examples/cookbook/message_actions.py

A click is a run of its own, on any worker, also days later and after a reload. What it has to know
travels in the button's ``payload``.
"""

import stepwire as cl

WORDS = ("River", "Lantern", "Maple", "Harbour")


async def propose(topic: str, number: int) -> None:
    idea = {"topic": topic, "number": number, "name": f"{WORDS[number % len(WORDS)]} {topic}"}
    await cl.Message(
        f"How about {idea['name']}?",
        actions=[
            cl.Action(name="keep", payload=idea, label="Keep it", icon="star"),
            cl.Action(name="another", payload=idea, label="Another one", icon="refresh-cw"),
        ],
    ).send()


@cl.on_message
async def main(message: cl.Message) -> None:
    await propose(message.content, 0)


@cl.action_callback("another")
async def another(action: cl.Action) -> None:
    # Without its button it cannot be clicked twice.
    await action.remove()
    await propose(action.payload["topic"], action.payload["number"] + 1)


@cl.action_callback("keep")
async def keep(action: cl.Action) -> None:
    await action.remove()
    kept = [*cl.user_session.get("kept", []), action.payload["name"]]
    cl.user_session.set("kept", kept)
    await cl.Message(f"Kept so far: {', '.join(kept)}").send()

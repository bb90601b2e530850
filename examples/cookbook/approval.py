"""An agent that asks before it does what cannot be undone.

    stepwire dev examples/cookbook/approval.py

Write "delete" and the name of something. The question stays open for an hour: the person may
reload, or answer on another device.
"""

import stepwire as cl


async def approved(what: str) -> bool:
    """Whether the person agrees; silence means no."""
    answer = await cl.AskActionMessage(
        f"Shall I {what}?",
        actions=[
            cl.Action(name="approve", label="Go on", icon="check"),
            cl.Action(name="refuse", label="Leave it", icon="x"),
        ],
        timeout=3600,
    ).send()
    return answer is not None and answer["name"] == "approve"


@cl.step(type="tool")
async def delete(name: str) -> str:
    return f"{name} is deleted"


@cl.on_message
async def main(message: cl.Message) -> None:
    command, _, name = message.content.partition(" ")
    if command != "delete" or not name:
        await cl.Message('Write "delete" and a name.').send()
    elif await approved(f"delete {name}"):
        await cl.Message(await delete(name)).send()
    else:
        await cl.Message(f"I left {name} as it is.").send()

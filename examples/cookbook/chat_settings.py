"""Settings of a chat, as buttons that the person may click at any time.

    stepwire dev examples/cookbook/chat_settings.py

The choice is kept in ``user_session``, so every worker uses it, from the next message on.
"""

import stepwire as cl

STYLES = {"brief": "In a few words", "loud": "In capitals"}


@cl.on_chat_start
async def begin() -> None:
    cl.user_session.set("style", "brief")
    actions = [
        cl.Action(name="style", payload={"style": style}, label=label)
        for style, label in STYLES.items()
    ]
    await cl.Message("How would you like me to answer?", actions=actions).send()


@cl.action_callback("style")
async def choose(action: cl.Action) -> None:
    style = action.payload["style"]
    cl.user_session.set("style", style)
    await cl.Message(f"{STYLES[style]}, from now on.").send()


@cl.on_message
async def main(message: cl.Message) -> None:
    style = cl.user_session.get("style")
    async with cl.Step(name="answer", type="tool", tags=[style]) as step:
        step.output = message.content.upper() if style == "loud" else message.content[:20]
    await cl.Message(step.output).send()

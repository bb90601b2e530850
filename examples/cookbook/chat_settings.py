"""Settings of a chat: a form that the person may change at any time.

    stepwire dev examples/cookbook/chat_settings.py

The values are kept with the session, so every worker uses them, from the next message on. The
gateway takes only what fits the form.
"""

from typing import Any

import stepwire as cl
from stepwire.input_widget import Select, Slider, Switch, Tab

STYLES = {"In a few words": "brief", "In capitals": "loud"}


@cl.on_chat_start
async def begin() -> None:
    style = Select("style", "How shall I answer?", items=STYLES, initial_value="brief")
    length = Slider("length", "Characters", initial=20, min=5, max=100, step=5)
    steps = Switch("steps", "Show how", True, description="The steps before each answer.")
    await cl.ChatSettings(
        [Tab("answer", "Answers", [style, length]), Tab("more", "More", [steps])]
    ).send()
    await cl.Message("Ask me anything. How I answer is for you to say, in the settings.").send()


@cl.on_settings_update
async def changed(settings: dict[str, Any]) -> None:
    [label] = [label for label, style in STYLES.items() if style == settings["style"]]
    await cl.Message(f"{label}, from now on.").send()


def answer(question: str, settings: dict[str, Any]) -> str:
    return question.upper() if settings["style"] == "loud" else question[: settings["length"]]


@cl.on_message
async def main(message: cl.Message) -> None:
    settings = cl.user_session.get("chat_settings")
    text = answer(message.content, settings)
    if settings["steps"]:
        async with cl.Step(name="answer", type="tool", tags=[settings["style"]]) as step:
            step.output = text
    await cl.Message(text).send()

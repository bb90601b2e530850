"""What people think of the answers, kept where you can count it.

    stepwire dev examples/cookbook/feedback.py

A click on a thumb is a run of its own, whichever worker takes it. The ratings go to a file here;
put your database in its place.
"""

import json
import os
from pathlib import Path

import stepwire as cl

RATINGS = Path(os.environ.get("RATINGS", "ratings.jsonl"))


def keep(**rating: str | int | None) -> None:
    with RATINGS.open("a") as file:
        file.write(f"{json.dumps(rating)}\n")


@cl.on_message
async def main(message: cl.Message) -> None:
    await cl.Message(message.content[::-1]).send()
    # A message that is not worth a rating has no thumbs.
    await cl.Message("Was that right?", disable_feedback=True).send()


@cl.on_feedback
async def rated(feedback: cl.Feedback) -> None:
    # 1 is good, 0 is bad, None takes a rating back.
    await cl.make_async(keep)(
        session=feedback.session_id,
        step=feedback.step_id,
        value=feedback.value,
        comment=feedback.comment,
    )
    if feedback.value == 0:
        await cl.Message("I am sorry. Somebody will look at it.", disable_feedback=True).send()

"""A file from the person, then questions about it.

    OPENAI_API_KEY=… stepwire dev examples/cookbook/file_question.py

The handler asks for the file and waits, over reloads too, without taking a place in its worker.
The text is kept in ``user_session``, so whichever worker gets the next question has it.
"""

import os

from openai import AsyncOpenAI

import stepwire as cl

MODEL = os.environ.get("OPENAI_MODEL", "gpt-4o-mini")
INSTRUCTIONS = "Answer from this text alone, and say so if it has no answer."

client = AsyncOpenAI()


@cl.on_chat_start
async def ask_for_a_text() -> None:
    files = await cl.AskFileMessage(
        "Which text shall we talk about?",
        accept={"text/plain": [".txt"], "text/markdown": [".md"]},
        max_size_mb=0.2,
        timeout=3600,
    ).send()
    if not files:
        await cl.Message("Start again when you have a text.").send()
        return
    [file] = files
    cl.user_session.set("text", file.path.read_text())
    await cl.Message(f"I have read {file.name}. What would you like to know?").send()


@cl.on_message
async def main(message: cl.Message) -> None:
    text = cl.user_session.get("text")
    if text is None:
        await cl.ErrorMessage("I have no text to answer from.").send()
        return
    async with cl.Step(name="read", type="llm") as step:
        step.input = message.content
        reply = await client.chat.completions.create(
            model=MODEL,
            messages=[
                {"role": "system", "content": INSTRUCTIONS},
                {"role": "user", "content": f"{text}\n\n{message.content}"},
            ],
        )
        step.output = reply.choices[0].message.content
    await cl.Message(step.output).send()

"""A conversation in which the handler leads: one question after another.

    stepwire dev examples/cookbook/asks_in_sequence.py

Each answer decides the next question, in plain Python. A run that waits for an answer costs
nothing; if the person does not answer in time, one ``except`` ends the conversation.
"""

import stepwire as cl

TIMEOUT_S = 3600
TABLES = {"window": "at the window", "garden": "in the garden"}


async def ask(question: str) -> str:
    answer = await cl.AskUserMessage(question, timeout=TIMEOUT_S, raise_on_timeout=True).send()
    return answer["output"].strip() if answer else ""


async def ask_for_a_number(question: str, *, most: int) -> int:
    """Ask until the answer will do."""
    while True:
        answer = await ask(question)
        if answer.isdecimal() and 0 < int(answer) <= most:
            return int(answer)
        question = f"Please give me a number from 1 to {most}."


async def choose(question: str, options: dict[str, str]) -> str:
    actions = [cl.Action(name=name, label=label) for name, label in options.items()]
    chosen = await cl.AskActionMessage(
        question, actions, timeout=TIMEOUT_S, raise_on_timeout=True
    ).send()
    return chosen["label"] if chosen else ""


@cl.on_chat_start
async def book() -> None:
    try:
        name = await ask("On what name shall I book?")
        guests = await ask_for_a_number("How many are you?", most=8)
        table = await choose("Where would you like to sit?", TABLES)
    except TimeoutError:
        await cl.Message("I have booked nothing. Write to me when you are back.").send()
        return
    async with cl.Step(name="book", type="tool") as step:
        step.input = {"name": name, "guests": guests, "table": table}
        step.output = "booked"
    await cl.Message(f"A table {table} for {guests}, on the name of {name}.").send()


@cl.on_message
async def again(_message: cl.Message) -> None:
    await book()

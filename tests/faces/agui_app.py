"""The handlers that the clients of AG-UI talk to."""

from __future__ import annotations

import asyncio

import stepwire as cl


@cl.on_chat_start
async def start() -> None:
    await cl.Message("Welcome").send()


@cl.step(type="tool")
async def weather(city: str) -> dict[str, object]:
    return {"city": city, "degrees": 21}


@cl.task
async def detail(text: str) -> str:
    async with cl.Step("detail", type="chain"):
        await cl.Message(f"about {text}").send()
    return text


@cl.on_message
async def main(message: cl.Message) -> None:  # noqa: C901 - a case for each test
    match message.content.split():
        case ["tools"]:
            async with cl.Step("research", type="chain") as step:
                await weather("Rome")
                async with cl.Step("model", type="llm") as model:
                    await model.stream_token("thinking")
                    model.usage(input_tokens=3, output_tokens=5)
                await cl.Message("it is warm").send()
                step.output = "found"
            await cl.Message("21 degrees").send()
        case ["plain"]:
            async with cl.Step("look", type="tool") as step:
                step.input = "in the cupboard"
                step.output = "empty"
        case ["fails"]:
            await cl.Message("so far").send()
            async with cl.Step("agent", type="chain"), cl.Step("search", type="tool") as step:
                step.input = "x"
                raise RuntimeError("the model is away")
        case ["files"]:
            picture = cl.Image(name="dot.png", content=b"\x89PNG\r\n\x1a\n", mime="image/png")
            await cl.Message("look", elements=[picture]).send()
        case ["ask"]:
            async with cl.Step("form", type="chain"):
                name = await cl.AskUserMessage("Your name?", timeout=60).send()
            await cl.Message(f"Hello {name['output'] if name else 'nobody'}").send()
        case ["choose"]:
            actions = [cl.Action(name=name, payload={}) for name in ("yes", "no")]
            chosen = await cl.AskActionMessage("Sure?", actions=actions, timeout=60).send()
            await cl.Message(f"You chose {chosen['name'] if chosen else 'nothing'}").send()
        case ["paint", colour]:
            element = cl.CustomElement(name="paint", props={"colour": colour})
            done = await cl.AskElementMessage("Painting", element=element, timeout=60).send()
            await cl.Message(f"It is {done}").send()
        case ["aside"]:
            await cl.Message(str(message.metadata["agui"])).send()
        case ["corrects"]:
            answer = cl.Message("")
            await answer.stream_token("Rme is the capital")
            answer.content = "Rome is the capital"
            await answer.update()
            gone = cl.Message("forget this")
            await gone.send()
            await gone.remove()
            await cl.Message("done").send()
        case ["delegates"]:
            await cl.enqueue(detail, text="Rome")
            await cl.Message("delegated").send()
        case ["wait"]:
            await cl.Message("waiting").send()
            async with cl.Step("agent", type="chain"):
                await asyncio.sleep(300)
        case ["slowly", *_]:
            async with cl.Step("agent", type="chain"):
                answer = cl.Message("")
                for number in range(40):
                    await answer.stream_token(f"wörd{number} ")
                    await asyncio.sleep(0.03)
                await answer.send()
            await cl.Message("end").send()
        case _:
            for file in message.elements:
                assert file.path is not None
                await cl.Message(f"{file.name}: {file.path.read_text()}").send()
            answer = cl.Message("")
            for word in f"You said: {message.content} 😀".split(" "):
                await answer.stream_token(f"{word} ")
            await answer.send()

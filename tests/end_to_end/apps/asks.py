"""The handlers of test_asks.py."""

import stepwire as cl


@cl.on_message
async def main(message):
    await getattr(Asks, message.content)()


class Asks:
    @staticmethod
    async def text():
        async with cl.Step("agent"):
            answer = await cl.AskUserMessage("Your name?", timeout=30).send()
            assert answer is not None
            await cl.Message(f"Hello {answer['output']}").send()

    @staticmethod
    async def action():
        answer = await cl.AskActionMessage(
            "Go on?",
            actions=[
                cl.Action("yes", payload={"status": "open"}, label="Yes!", id="a-yes"),
                cl.Action("no", id="a-no"),
            ],
        ).send()
        assert answer is not None
        await cl.Message(f"{answer['name']} {answer['label']} {answer['payload']}").send()

    @staticmethod
    async def file():
        files = await cl.AskFileMessage(
            "Your text?", accept=["text/plain", ".csv"], max_size_mb=0.001, max_files=2
        ).send()
        assert files is not None
        for file in files:
            text = file.path.read_text()
            await cl.Message(f"{file.name} {file.size} {file.type} {text}").send()
        await cl.Message(str(files[0].path), author="path").send()

    @staticmethod
    async def timeout():
        answer = await cl.AskUserMessage("Anybody?", timeout=0.2).send()
        await cl.Message(f"answer: {answer}").send()
        try:
            await cl.AskUserMessage("Now?", timeout=0.2, raise_on_timeout=True).send()
        except TimeoutError as error:
            await cl.Message(str(error)).send()

    @staticmethod
    async def quick():
        await cl.Message("done").send()

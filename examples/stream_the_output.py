from openai import AsyncOpenAI

import stepwire as cl

client = AsyncOpenAI()

@cl.on_message
async def main(msg: cl.Message):

    # Whether to nest the step under the user message
    root = True

    async with cl.Step(name="gpt4", type="llm", root=root) as step:
        step.input = msg.content

        stream = await client.chat.completions.create(
            messages=[{"role": "user", "content": msg.content}],
            stream=True,
            model="gpt-4",
            temperature=0,
        )

        async for part in stream:
            delta = part.choices[0].delta
            if delta.content:
                # Stream the output of the step
                await step.stream_token(delta.content)

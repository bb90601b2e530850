"""A long text, cut into parts that all workers share.

    stepwire dev examples/cookbook/map_reduce.py

Each part is a run of its own, with its own attempts, on whichever worker is free. Its steps show
under the handler that waits for it, and the handler takes no place meanwhile. Start more workers
and it is done sooner.
"""

import asyncio
from collections import Counter

import stepwire as cl

WORDS_A_PART = 1_000


@cl.task(max_attempts=3, retry_on=OSError, timeout_s=60)
async def count(number: int, words: list[str]) -> dict[str, int]:
    async with cl.Step(name=f"part {number}", type="tool") as step:
        counted = Counter(word.strip(".,;:!?").lower() for word in words)
        step.output = f"{len(words)} words"
    return counted


@cl.on_message
async def main(message: cl.Message) -> None:
    words = message.content.split()
    parts = [words[at : at + WORDS_A_PART] for at in range(0, len(words), WORDS_A_PART)]
    async with cl.Step(name="count", type="run") as step:
        counted = await asyncio.gather(
            *(cl.enqueue(count, number, part) for number, part in enumerate(parts, start=1))
        )
        total = sum((Counter(part) for part in counted), Counter[str]())
        step.output = f"{len(total)} different words in {len(parts)} parts"
    await cl.Message("\n".join(f"{word}: {n}" for word, n in total.most_common(3))).send()

"""How far a long step is, and what it has cost so far.

    stepwire dev examples/cookbook/progress_and_usage.py

Attach text files to a message. ``step.progress`` may be called as often as you like, it never
waits; ``step.usage`` is summed up for the run and the session. The integrations call it for you.
"""

import hashlib
from pathlib import Path

import stepwire as cl

DIMENSIONS = 256
PRICE_A_TOKEN = 0.02 / 1_000_000


@cl.make_async
def embed(path: Path) -> tuple[list[float], int]:
    """A vector by feature hashing, and the tokens that it took; put your model here."""
    vector, tokens = [0.0] * DIMENSIONS, path.read_text().lower().split()
    for token in tokens:
        digest = hashlib.blake2b(token.encode(), digest_size=4).digest()
        vector[int.from_bytes(digest) % DIMENSIONS] += 1
    return vector, len(tokens)


@cl.on_message
async def main(message: cl.Message) -> None:
    index: dict[str, list[float]] = {}
    spent = 0
    files = [file for file in message.elements if file.path]
    async with cl.Step(name="index", type="embedding") as step:
        for done, file in enumerate(files):
            step.progress(done, len(files), f"reading {file.name}")
            index[file.name], tokens = await embed(Path(file.path or ""))
            spent += tokens
            step.usage(input_tokens=spent, cost=spent * PRICE_A_TOKEN, model="hashing")
        step.progress(len(files), len(files))
        step.output = f"{len(index)} files in the index"
    await cl.Message(f"{len(index)} files, {spent} tokens").send()

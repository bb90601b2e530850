"""The demo agent: it answers questions from the documents on this machine, and shows how.

    stepwire dev examples/agent.py

What users see is a tree, live::

    agent
    ├─ retrieve            the passages that match, by BM25
    │  └─ index
    ├─ rank                the documents worth reading
    ├─ read                all of them at once
    │  ├─ read: docs/protocol.md
    │  │  └─ extract       the sentences that matter, as they are found
    │  └─ …
    └─ answer

Without a key, the answer is made of quotes. With ``OPENAI_API_KEY`` (and, if you like,
``OPENAI_MODEL`` and ``OPENAI_BASE_URL``) a model writes it from the same quotes.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

import stepwire as cl
from library import Hit, Library, Quote, Source, open_library

if TYPE_CHECKING:
    from openai import AsyncOpenAI

MOST_HITS = 10
MOST_SOURCES = 4
QUOTES_PER_SOURCE = 3
QUOTES_IN_ANSWER = 4
# Nothing here takes long; so that people can watch, it takes its time.
TOKEN_S = 0.02
STAGGER_S = 0.25

GREETING = """\
I answer from the {documents} documents on this machine: stepwire's own, and the READMEs and \
licences of the installed packages. Ask me, for example:

- Who gets a snapshot after a reconnect?
- What happens when a worker dies?
- Is this software provided with any warranty?"""

NOTHING_FOUND = """\
I found nothing about that in the {documents} documents on this machine, so I cannot answer. \
I search by words: try those that the documents would use."""

INSTRUCTIONS = """\
Answer the question from the numbered excerpts only, in a few sentences, and cite them like [1]. \
If they do not answer it, say so."""


@cl.on_chat_start
async def greet() -> None:
    library = await asyncio.to_thread(open_library)
    await cl.Message(GREETING.format(documents=len(library.documents))).send()


@cl.on_message
async def main(message: cl.Message) -> None:
    question = message.content
    async with cl.Step(name="agent", type="run", tags=["demo"]) as agent:
        agent.input = question
        library, hits = await retrieve(question)
        sources = await rank(library, question, hits)
        quotes = await read(library, question, sources) if sources else []
        await answer(library, message, quotes)
        agent.output = {"documents_read": len(sources), "sentences_found": len(quotes)}


async def retrieve(question: str) -> tuple[Library, list[Hit]]:
    """Search all passages."""
    facts = {"most_hits": MOST_HITS}
    step = cl.Step(name="retrieve", type="retrieval", show_input=True, metadata=facts)
    # Set before the block, the input is there from the first moment.
    step.input = question
    async with step:
        library = await index()
        hits = library.search(question, limit=MOST_HITS)
        step.output = [
            {
                "document": hit.passage.document.name,
                "score": round(hit.score, 2),
                "passage": " ".join(hit.passage.sentences)[:120],
            }
            for hit in hits
        ]
    return library, hits


async def index() -> Library:
    """Read and cut the documents; quick after the first time."""
    async with cl.Step(name="index", type="tool") as step:
        # In a thread: while it reads, other runs of this worker go on.
        library = await asyncio.to_thread(open_library)
        step.output = f"{len(library.documents)} documents, {len(library.passages)} passages"
    return library


async def rank(library: Library, question: str, hits: Sequence[Hit]) -> list[Source]:
    """Choose the documents to read."""
    async with cl.Step(name="rank", type="rerank") as step:
        step.input = f"passages: {len(hits)}"
        sources = library.rank(question, hits)[:MOST_SOURCES]
        step.output = [
            {
                "document": source.document.name,
                "score": round(source.score, 2),
                "coverage": round(source.coverage, 2),
                "passages": len(source.passages),
            }
            for source in sources
        ]
    return sources


async def read(library: Library, question: str, sources: Sequence[Source]) -> list[Quote]:
    """Read all sources at the same time; each nests here, whatever finishes first."""
    async with cl.Step(name="read", type="tool") as step:
        step.input = [source.document.name for source in sources]
        found = await asyncio.gather(
            *(
                read_one(library, question, source, delay_s=STAGGER_S * position)
                for position, source in enumerate(sources)
            )
        )
        quotes = [quote for of_one in found for quote in of_one]
        step.output = f"sentences: {len(quotes)}"
    return quotes


async def read_one(
    library: Library, question: str, source: Source, *, delay_s: float
) -> list[Quote]:
    """Find the sentences of one source that speak of the question."""
    await cl.sleep(delay_s)
    facts = {"characters": len(source.document.text), "matching_passages": len(source.passages)}
    async with cl.Step(name=f"read: {source.document.name}", type="tool", metadata=facts) as step:
        quotes = library.quotes(question, source, limit=QUOTES_PER_SOURCE)
        async with cl.Step(name="extract", type="tool") as extract:
            extract.input = f"passages: {len(source.passages)}"
            async for token in paced("\n\n".join(quote.sentence for quote in quotes)):
                await extract.stream_token(token)
        step.output = f"sentences: {len(quotes)}"
    return quotes


async def answer(library: Library, message: cl.Message, quotes: Sequence[Quote]) -> None:
    """Write the answer: a message of its own, beside the agent's steps."""
    best = best_quotes(quotes)
    async with cl.Step(name="answer", type="llm") as step:
        step.input = prompt(message.content, best)
        client = model_client(step) if best else None
        if client is not None:
            tokens = written_by_model(client, step)
        elif best:
            tokens = paced(quoted(best))
        else:
            tokens = paced(NOTHING_FOUND.format(documents=len(library.documents)))
        reply = cl.Message(parent_id=message.id, metadata={"sources": names(best)})
        async for token in tokens:
            await reply.stream_token(token)
        await reply.stream_token(source_list(best))
        await reply.send()
        step.output = step.output or {"words": len(reply.content.split()), "quotes": len(best)}


def best_quotes(quotes: Sequence[Quote]) -> list[Quote]:
    """The best sentences of all, each once, and none that is far behind the first."""
    best_first = sorted(quotes, key=lambda quote: quote.score, reverse=True)
    by_sentence: dict[str, Quote] = {}
    for quote in best_first:
        if quote.score >= best_first[0].score / 3:
            by_sentence.setdefault(quote.sentence, quote)
    return list(by_sentence.values())[:QUOTES_IN_ANSWER]


def names(quotes: Sequence[Quote]) -> list[str]:
    """The documents that are quoted, in the order of their numbers."""
    return list(dict.fromkeys(quote.document.name for quote in quotes))


def quoted(quotes: Sequence[Quote]) -> str:
    """The sentences with the numbers of their sources."""
    numbers = {name: number for number, name in enumerate(names(quotes), start=1)}
    return "\n\n".join(f"{quote.sentence} [{numbers[quote.document.name]}]" for quote in quotes)


def source_list(quotes: Sequence[Quote]) -> str:
    """What the numbers stand for."""
    lines = [f"[{number}] {name}" for number, name in enumerate(names(quotes), start=1)]
    return "\n\nSources:\n" + "\n".join(lines) if lines else ""


def prompt(question: str, quotes: Sequence[Quote]) -> str:
    return f"Question: {question}\n\nExcerpts:\n{quoted(quotes) or 'none'}"


def model_client(step: cl.Step) -> AsyncOpenAI | None:
    """The model's client if there is a key for it; if its package is missing, the step says so."""
    if not os.environ.get("OPENAI_API_KEY"):
        return None
    try:
        from openai import AsyncOpenAI
    except ImportError:
        step.output = (
            "OPENAI_API_KEY is set, but the openai package is missing (pip install openai): "
            "the answer is made of quotes instead."
        )
        return None
    return AsyncOpenAI()


async def written_by_model(client: AsyncOpenAI, step: cl.Step) -> AsyncIterator[str]:
    """The model's answer to the step's input, token by token."""
    model = os.environ.get("OPENAI_MODEL", "gpt-4o-mini")
    step.metadata["model"] = model
    step.show_input = True
    async with client:
        stream = await client.chat.completions.create(
            model=model,
            messages=[
                {"role": "system", "content": INSTRUCTIONS},
                {"role": "user", "content": step.input},
            ],
            stream=True,
        )
        async for part in stream:
            if part.choices and part.choices[0].delta.content:
                yield part.choices[0].delta.content


async def paced(text: str) -> AsyncIterator[str]:
    """A text in words, with the space around them, at the pace of a model."""
    for token in re.findall(r"\S+\s*", text):
        yield token
        await cl.sleep(TOKEN_S)

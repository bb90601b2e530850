"""The handlers behind the pictures: what a message says decides what they do.

What is to be seen in the middle of its work waits there, so that no picture depends on its moment.
"""

import asyncio
import base64
from contextlib import AsyncExitStack

import stepwire as cl

ANSWER = """\
The refund is **approved**. What I looked at:

| order | paid | refund |
|---|---:|---:|
| 10-482 | 129.00 € | 129.00 € |
| 10-517 | 24.90 € | 0.00 € |

```python
def is_refundable(order):
    return order.days_since_delivery <= 14
```

The second order was delivered 31 days ago, so it is not part of it."""

DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
)


@cl.on_message(concurrency="parallel", max_attempts=2)
async def main(message: cl.Message) -> None:
    words = message.content.lower()
    for word, does in _DOES.items():
        if word in words:
            await does()
            return
    await refund()


@cl.step(type="tool")
async def find_orders(customer: str) -> list[dict[str, object]]:
    await asyncio.sleep(0.05)
    return [{"order": "10-482", "paid": 129.0}, {"order": "10-517", "paid": 24.9}]


async def refund() -> None:
    async with cl.Step("agent", type="run") as agent:
        agent.input = "Can order 10-482 be refunded?"
        async with cl.Step("plan", type="llm") as plan:
            plan.usage(input_tokens=1204, output_tokens=86, cost=0.0041, model="gpt-4o")
            await plan.stream_token("1. Find the orders. 2. Check the policy. 3. Decide.")
        await find_orders("ada")
        async with (
            cl.Step("policy", type="retrieval"),
            cl.Step("embed", type="embedding"),
        ):
            await asyncio.sleep(0.03)
        async with cl.Step("rank", type="rerank") as rank:
            rank.output = ["refunds.md", "delivery.md"]
    await cl.Message(ANSWER).send()


async def stream() -> None:
    async with cl.Step("agent", type="run"):
        async with cl.Step("search", type="tool") as search:
            search.input = {"query": "late deliveries", "since": "2026-11-01"}
            search.output = [{"order": "10-482"}, {"order": "10-517"}]
        async with cl.Step("read the orders", type="tool") as read:
            read.progress(7, 12, "orders")
            async with cl.Step("summarise", type="llm") as llm:
                llm.usage(input_tokens=2410, output_tokens=57, model="gpt-4o")
                await llm.stream_token("Seven orders were late. The most frequent reason is ")
                await asyncio.Event().wait()


class CardDeclined(Exception):
    """The bank says no."""


@cl.step(type="tool")
async def charge(amount: float) -> None:
    raise CardDeclined(f"the bank declined {amount:.2f} €: insufficient funds")


async def fail() -> None:
    async with cl.Step("agent", type="run"):
        async with cl.Step("plan", type="llm") as plan:
            plan.output = "Charge the card, then send the parcel."
        async with cl.Step("checkout", type="tool"), cl.Step("payment", type="tool"):
            await charge(129.0)


async def retry() -> None:
    async with cl.Step("fetch the prices", type="tool") as step:
        if not cl.user_session.get("failed"):
            cl.user_session.set("failed", value=True)
            step.output = "no answer from the shop"
            raise cl.Retry(after=0, reason="the shop did not answer")
        step.output = {"prices": 214}
    await cl.Message("All 214 prices are there.").send()


async def dive() -> None:
    async with AsyncExitStack() as opened:
        for level in range(1, 31):
            kind = ("run", "tool", "llm", "retrieval")[level % 4]
            await opened.enter_async_context(cl.Step(f"plan of level {level}", type=kind))
        async with cl.Step("the leaf", type="llm") as leaf:
            leaf.output = "Nothing is below this one."


async def ask() -> None:
    async with cl.Step("agent", type="run"):
        answer = await cl.AskActionMessage(
            "Send the refund of 129.00 € to Ada?",
            actions=[
                cl.Action(name="send", label="Send it", payload={}),
                cl.Action(name="wait", label="Not yet", payload={}),
            ],
            timeout=3600,
        ).send()
        await cl.Message(f"You said: {answer}").send()


async def elements() -> None:
    shown = [
        cl.Image(name="a pixel.png", content=DOT, size="small"),
        cl.Text(
            name="notes.md", content="# Notes\n\nThe refund is *approved*.", language="markdown"
        ),
        cl.File(name="orders.csv", content=b"order,paid\n10-482,129.00\n"),
    ]
    async with cl.Step("report", type="tool", elements=shown) as step:
        step.output = "Three files."
    tasks = cl.TaskList()
    tasks.status = "Running…"
    await tasks.add_task(cl.Task(title="Find the orders", status=cl.TaskStatus.DONE))
    await tasks.add_task(cl.Task(title="Check the policy", status=cl.TaskStatus.RUNNING))
    await tasks.send()
    await cl.Message(
        "Here is the week:",
        elements=[
            cl.CustomElement(name="OrderCard", props={"order": "10-482", "paid": 129.0}),
        ],
    ).send()


_DOES = {
    "late": stream,
    "charge": fail,
    "prices": retry,
    "deep": dive,
    "may i": ask,
    "report": elements,
}


@cl.task
async def nightly_report(day: str) -> None:
    await asyncio.Event().wait()


@cl.task(max_running=1)
async def import_customers(file: str) -> None:
    async with cl.Step("import", type="tool") as step:
        step.progress(3200, 12_000, "customers")
        await asyncio.Event().wait()


@cl.task
async def charge_card(amount: float) -> None:
    await charge(amount)


@cl.task
async def send_invoice(order: str) -> None:
    async with cl.Step("render", type="tool"):
        raise FileNotFoundError(f"invoices/{order}.pdf")

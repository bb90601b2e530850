"""The handlers of test_hostile_handlers.py."""

import argparse
import asyncio
import sys

import stepwire as cl


@cl.task
async def good():
    await cl.Message("good").send()


@cl.task
async def exits():
    sys.exit(3)


@cl.task
def exits_in_thread():
    sys.exit("no")


@cl.task
def parses_arguments():
    argparse.ArgumentParser("tool").parse_args(["--nope"])


@cl.task
async def interrupts():
    raise KeyboardInterrupt


@cl.task
async def leaves_a_generator():
    raise GeneratorExit


class Own(BaseException):
    pass


@cl.task
async def raises_a_base_exception():
    raise Own("mine")


async def inner():
    await asyncio.sleep(0)
    sys.exit(4)


@cl.task
async def awaits_one_that_exits():
    await asyncio.create_task(inner())


@cl.task
async def gathers_some_that_exit():
    await asyncio.gather(*(inner() for _ in range(3)))


@cl.task
async def exits_in_make_async():
    await cl.make_async(sys.exit)(5)


@cl.task
async def a_part_exits():
    await cl.enqueue(exits)


@cl.task
async def cancels_and_awaits():
    task = asyncio.create_task(asyncio.sleep(60))
    await asyncio.sleep(0)
    task.cancel()
    await task


@cl.task
async def raises_a_cancellation():
    raise asyncio.CancelledError("of its own")


@cl.task
async def recurses():
    def deeper(n):
        return deeper(n + 1)

    deeper(0)


@cl.task
async def has_no_memory():
    raise MemoryError


@cl.task
async def closes_the_loop():
    asyncio.get_running_loop().close()


class Unreadable(Exception):
    def __str__(self):
        raise ValueError("no text")


@cl.task
async def raises_the_unreadable():
    raise Unreadable


@cl.task
async def exits_beside():
    # Nobody awaits these: they go through the loop.
    asyncio.create_task(inner())
    asyncio.get_running_loop().call_soon(sys.exit, 6)
    await asyncio.sleep(0.05)


@cl.task
async def stops_the_loop():
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.05)


@cl.task
async def cancels_all_others():
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@cl.task
async def replaces_the_policy():
    asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())
    asyncio.set_event_loop(None)


@cl.task
async def shuts_the_executor_down():
    await asyncio.get_running_loop().shutdown_default_executor()


@cl.task
async def returns_what_has_no_end():
    value: list[object] = []
    value.append(value)
    return value


@cl.task
async def awaits_what_has_no_end():
    await cl.enqueue(returns_what_has_no_end)


@cl.task
async def cannot_be_shown():
    for name in ("first", "second"):
        step = await cl.Step(name).send()
        await step.stream_token(f"text of {name}")
        if name == "first":
            step.metadata = None


@cl.task
class Meta(type):
    def __instancecheck__(cls, instance):
        raise LookupError("we cannot even ask")


class Strange(Exception, metaclass=Meta):
    pass


@cl.task(retry_on=Strange, max_attempts=3)
async def breaks_what_is_around_it():
    step = await cl.Step("open").send()
    await step.stream_token("half")
    raise ValueError("x")


@cl.on_stop
async def stopped():
    sys.exit(7)


@cl.on_message
async def waits(message):
    async with cl.Step("waits"):
        await asyncio.Event().wait()


@cl.on_chat_end
async def farewell():
    sys.exit(8)


@cl.on_feedback
async def rated(feedback):
    sys.exit(9)

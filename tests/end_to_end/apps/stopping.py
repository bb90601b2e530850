"""The handlers of test_stopping.py."""

import asyncio
import atexit
import os
import signal
import threading
import time

import stepwire as cl

NEVER = threading.Event()
FIRST = os.environ.get("FIRST")

if FIRST == "at_exit":
    atexit.register(NEVER.wait)


@cl.on_app_startup
async def opened():
    print("opened", flush=True)
    if FIRST == "no_database":
        raise ConnectionError("no database answers")


@cl.on_app_shutdown
def closed():
    print("closed", flush=True)


async def swallows():
    while True:
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            pass


def blocked_thread():
    threading.Thread(target=NEVER.wait).start()


def blocked_executor():
    asyncio.get_running_loop().run_in_executor(None, NEVER.wait)


async def begun():
    async with cl.Step("begun"):
        pass


@cl.task(max_attempts=2)
def in_thread():
    cl.run_sync(begun())
    if FIRST:
        NEVER.wait()


@cl.task(max_attempts=2)
async def at_exit():
    await begun()
    if FIRST:
        await asyncio.Event().wait()


@cl.task(max_attempts=2)
async def in_loop():
    await begun()
    await asyncio.sleep(0.2)
    if FIRST:
        time.sleep(1000)


@cl.task(max_attempts=2)
async def in_a_cancellation():
    await begun()
    if FIRST:
        await swallows()


@cl.task(max_attempts=2)
async def beside():
    await begun()
    if FIRST:
        blocked_thread()
        blocked_executor()
        asyncio.create_task(swallows())
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, print)
        await asyncio.Event().wait()


@cl.task
def forks():
    import multiprocessing

    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    process.start()
    process.terminate()
    process.join()
    return process.exitcode

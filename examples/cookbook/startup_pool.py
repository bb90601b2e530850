"""A pool of connections that all runs of a worker share.

    stepwire dev examples/cookbook/startup_pool.py

It is opened once, before the worker takes its first run, and closed after the last one. If it
cannot be opened, the worker ends and says why, so a deploy with a wrong address is noticed.
"""

# pyright: standard
# (The types of redis-py are incomplete.)
import os

from redis.asyncio import Redis

import stepwire as cl

URL = os.environ.get("STEPWIRE_REDIS_URL", "redis://localhost:6379")
DAY_S = 24 * 3600

pool: Redis


@cl.on_app_startup
async def connect() -> None:
    global pool
    pool = Redis.from_url(URL, max_connections=10)
    await pool.ping()


@cl.on_app_shutdown
async def disconnect() -> None:
    await pool.aclose()


@cl.on_message
async def main(message: cl.Message) -> None:
    key = f"cookbook:asked:{message.content}"
    async with cl.Step(name="count", type="tool") as step:
        times = await pool.incr(key)
        await pool.expire(key, DAY_S)
        step.output = times
    await cl.Message(f"That was asked {times} times today.").send()

"""Steps from a plain arq worker, which is not one of stepwire's.

    cd examples/cookbook
    arq arq_job.WorkerSettings        the worker
    python arq_job.py order-42        a job for it; its steps are in the session order-42

Both find Redis by STEPWIRE_REDIS_URL. ``stepwire tail order-42`` shows the steps live, as does the
page of any gateway on that Redis.
"""

import asyncio
import os
import sys
from typing import Any, ClassVar

from arq import create_pool
from arq.connections import RedisSettings

import stepwire as cl

REDIS = RedisSettings.from_dsn(os.environ.get("STEPWIRE_REDIS_URL", "redis://localhost:6379"))
QUEUE = os.environ.get("ARQ_QUEUE", "orders")


async def pack(_ctx: dict[str, Any], session_id: str, items: list[str]) -> int:
    async with cl.session(session_id), cl.Step(name="pack", type="run") as step:
        for item in items:
            async with cl.Step(name=item, type="tool") as part:
                part.output = "in the box"
        step.output = f"{len(items)} things packed"
    # Here everything is stored: a caller that sees the job done can read its steps.
    return len(items)


class WorkerSettings:
    functions: ClassVar = [pack]
    redis_settings = REDIS
    queue_name = QUEUE


async def main(session_id: str) -> None:
    pool = await create_pool(REDIS, default_queue_name=QUEUE)
    # The session is the id of the job, too: ordered twice, it is packed once.
    await pool.enqueue_job("pack", session_id, ["tea", "cups"], _job_id=session_id)
    await pool.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

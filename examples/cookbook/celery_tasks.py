"""Celery tasks that nest under the handler that sent them.

    cd examples/cookbook
    celery -A celery_tasks worker     Celery's worker
    stepwire worker celery_tasks.py   stepwire's, with the handler; and a gateway

Both find Redis by STEPWIRE_REDIS_URL. The place in the tree travels as an argument; the tasks go on
when the handler is long done. If it shall wait for them, use ``@cl.task`` and ``cl.enqueue``.
"""

# pyright: standard
# (Celery has no types.)
import os
from typing import Any

from celery import Celery

import stepwire as cl

BROKER = os.environ.get("STEPWIRE_REDIS_URL", "redis://localhost:6379")
SIZES = (100, 400)

app = Celery("celery_tasks", broker=BROKER)
app.conf.task_default_queue = os.environ.get("CELERY_QUEUE", "thumbnails")


@app.task(name="thumbnail")
def thumbnail(context: dict[str, Any], picture: str, size: int) -> None:
    with cl.attach(context), cl.Step(name=f"thumbnail {size}", type="tool") as step:
        step.input = {"picture": picture, "size": size}
        with cl.Step(name="resize", type="tool"):
            pass
        step.output = f"{size}-{picture}"


@cl.on_message
async def main(message: cl.Message) -> None:
    async with cl.Step(name="thumbnails", type="run") as step:
        place = cl.current().export()
        for size in SIZES:
            # Sending is a round trip to the broker, which blocks.
            await cl.make_async(app.send_task)("thumbnail", (place, message.content, size))
        step.output = f"{len(SIZES)} tasks sent"

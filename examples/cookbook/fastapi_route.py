"""A route of your own FastAPI application whose work is shown as steps.

    python examples/cookbook/fastapi_route.py
    curl -X POST localhost:8001/reports -H 'Content-Type: application/json' -d '{"month": "May"}'

The answer names the session; a page follows it at any gateway on the same Redis
(STEPWIRE_REDIS_URL). The work goes on after the answer, in the application's own process.
"""

import os

import uvicorn
from fastapi import BackgroundTasks, FastAPI
from pydantic import BaseModel

import stepwire as cl

app = FastAPI()


class Order(BaseModel):
    month: str


@app.post("/reports", status_code=202)
async def order_report(order: Order, background: BackgroundTasks) -> dict[str, str]:
    session_id = f"report:{order.month}"
    async with cl.session(session_id):
        await cl.Message(f"The report of {order.month} was ordered.").send()
    # The session is there now, so a page may follow it as soon as it has the answer.
    background.add_task(make_report, session_id, order)
    return {"session_id": session_id}


async def make_report(session_id: str, order: Order) -> None:
    async with cl.session(session_id), cl.Step(name="report", type="run") as report:
        report.input = order
        for chapter in ("sales", "costs"):
            async with cl.Step(name=chapter, type="tool") as step:
                await step.stream_token(f"The {chapter} of {order.month} …")
        await cl.Message("Here it is.", elements=[cl.Text(name="report", content="…")]).send()


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8001")))

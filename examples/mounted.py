"""The gateway inside an application of one's own, under /stepwire.

    pip install 'stepwire[dev]'
    redis-server &  stepwire worker examples/agent.py &
    python examples/mounted.py

Then http://127.0.0.1:8000 is the application, http://127.0.0.1:8000/stepwire/ the inspector.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from stepwire_gateway import create_app, running

gateway = create_app()


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    # A server runs the lifespan of the application that it serves, not those of what is mounted.
    async with running(gateway):
        yield


app = FastAPI(lifespan=lifespan)
app.mount("/stepwire", gateway)


@app.get("/")
async def index() -> dict[str, str]:
    return {"sessions": "/stepwire/v1/sessions"}


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")))

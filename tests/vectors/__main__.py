"""``make vocabulary``: writes the golden vectors anew, from a real log."""

from __future__ import annotations

import asyncio

from stepwire_cli.dev.embedded_server import embedded_server
from stepwire_core.log.event_log import open_log
from stepwire_core.settings import Settings
from vectors.record import FOLDER, record, written
from vectors.stories import STORIES


async def main() -> None:
    with embedded_server() as server:
        async with open_log(Settings(redis_url=server.url)) as log:
            for name, story in STORIES.items():
                recorder = await record(log, story)
                (FOLDER / f"{name}.json").write_text(written(story, recorder))


asyncio.run(main())

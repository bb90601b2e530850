"""Waiting."""

from __future__ import annotations

import asyncio


async def sleep(duration: float) -> None:
    """Wait for some seconds without holding up anything else."""
    await asyncio.sleep(duration)

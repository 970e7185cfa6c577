"""Waiting in one loop with what is tested."""

import asyncio


async def until(condition, within_s: float = 10.0) -> None:
    """Return when *condition* holds; fail when it does not come to."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)

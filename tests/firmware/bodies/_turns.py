# Runs on CPython and on MicroPython.
"""Whether others have their turns while something waits."""

import asyncio


def run_beside_others(work):
    """Run a coroutine to its end beside a task that counts its turns, which must have been many."""
    turns = 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def main():
        counting = asyncio.create_task(count())
        await work
        counting.cancel()

    asyncio.run(main())
    assert turns > 20, turns

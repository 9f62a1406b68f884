"""Reading and writing non-blocking descriptors in an event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any


async def read(fd: int, most: int = 65_536) -> bytes:
    """Empty at the end; also when the other side of a terminal is closed."""
    while True:
        try:
            return os.read(fd, most)
        except BlockingIOError:
            loop = asyncio.get_running_loop()
            await _ready(fd, loop.add_reader, loop.remove_reader)
        except OSError:
            return b""


async def write(fd: int, data: bytes) -> None:
    """All of it, however long that takes. Raises `OSError` when nobody reads any more."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            loop = asyncio.get_running_loop()
            await _ready(fd, loop.add_writer, loop.remove_writer)


async def _ready(fd: int, add: Callable[..., Any], remove: Callable[[int], Any]) -> None:
    came: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not came.done():
            came.set_result(None)

    add(fd, wake)
    try:
        await came
    finally:
        remove(fd)

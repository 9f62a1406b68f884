"""Start the supervisor again from the dashboard: the command line does it, in a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from lite.errors import NoSupervisor
from lite.restart import self_command


async def start_supervisor(home: str, environ: Mapping[str, str]) -> None:
    """`qd up -d` on this home; returns once it is ready. Raises `NoSupervisor` with what it said."""
    process = await asyncio.create_subprocess_exec(
        *self_command("--home", home, "up", "-d"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environ,
    )
    said, _ = await process.communicate()
    if process.returncode:
        text = said.decode(errors="replace").strip() or f"exit code {process.returncode}"
        raise NoSupervisor(f"it did not start: {text}", hint="qd doctor")

"""One attach: a WebSocket with channels, and how containerd treats its ends.

0 stdin, 1 stdout, 2 stderr, 3 how it ended (a Status), 4 size; in v5 also 255 followed by the channel that is closed.
The output is what comes from now on. A client that reads slowly slows the container down.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

from lite.aio.tasks import Jobs
from tests.support.kube.container import STDERR, STDOUT, Container
from tests.support.kube.server import WebSocket
from tests.support.kube.statuses import success

V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
_STDIN, _ERROR, _RESIZE, _CLOSE = 0, 3, 4, 255


class Attach:
    def __init__(self, container: Container, query: dict[str, bool], protocol: str) -> None:
        self.silent = False  # its node is lost: nothing passes any more, in either direction
        self._container = container
        self._stdin = query.get("stdin", False) and container.plan.stdin
        self._channels = {STDOUT} if query.get("stdout") else set()
        if query.get("stderr") and not container.plan.tty:
            self._channels.add(STDERR)
        self._v5 = protocol == V5
        self._detached = asyncio.Event()

    async def run(self, socket: WebSocket) -> None:
        await socket.send(bytes([min(self._channels, default=_ERROR)]))

        async def sink(channel: int, data: bytes) -> None:
            if channel in self._channels and not self.silent:
                await socket.send(bytes([channel]) + data)

        self._container.attached[self] = sink
        jobs = Jobs("attach")
        try:
            typing = jobs.spawn(self._input(socket))
            over = [jobs.spawn(self._container.ended.wait()), jobs.spawn(self._detached.wait()), typing]
            await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
            self._container.attached.pop(self, None)
            if typing.done():
                self._input_closed()  # the client is gone
                return
            await jobs.cancel()
            with suppress(OSError):
                await socket.send(bytes([_ERROR]) + json.dumps(success()).encode())
                await socket.close()
        finally:
            self._container.attached.pop(self, None)
            await jobs.cancel()

    async def _input(self, socket: WebSocket) -> None:
        """Until the client is gone."""
        while (message := await socket.receive()) is not None:
            if not message or self.silent:
                continue
            channel, data = message[0], message[1:]
            if channel == _STDIN and self._stdin:
                await self._container.type(data)
            elif channel == _RESIZE and self._container.plan.tty:
                with suppress(ValueError, KeyError, TypeError):
                    size = json.loads(data)
                    self._container.resize(int(size["Height"]), int(size["Width"]))
            elif channel == _CLOSE and self._v5 and data == bytes([_STDIN]) and self._stdin:
                self._input_closed()

    def _input_closed(self) -> None:
        if not self._stdin:
            return
        plan = self._container.plan
        if plan.stdin_once and not plan.tty:
            self._container.close_stdin()
        else:
            self._detached.set()  # its outputs are taken away with its input


async def refuse(socket: WebSocket, status: dict[str, Any]) -> None:
    """After the handshake, as v5 does."""
    with suppress(OSError):
        await socket.send(bytes([STDOUT]))
        await socket.send(bytes([_ERROR]) + json.dumps(status).encode())
        await socket.close()

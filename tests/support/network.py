"""Networks that fail on command: the proxy for tests that do not live in a loop, and a namespace on a cable."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from tests.support.proxy import Proxy


class Wire:
    """A `Proxy` in a thread and loop of its own. `do(Proxy.partition)`."""

    def __init__(self, host: str, port: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._proxy = Proxy(host, port)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._proxy.__aenter__(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._proxy.__aexit__(None, None, None), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def url(self) -> str:
        return self._proxy.url

    def do(self, verb: Callable[..., None], *arguments: object) -> None:
        """Returns when it is done."""

        async def call() -> None:
            verb(self._proxy, *arguments)

        asyncio.run_coroutine_threadsafe(call(), self._loop).result(10)


class Namespace:
    """A network namespace of its own, joined to ours by one cable. Needs the right to make them."""

    def __init__(self) -> None:
        tag = f"{os.getpid() % 100_000}"
        self._name, self._ours, self._theirs = f"qdt{tag}", f"qda{tag}", f"qdb{tag}"
        net = f"10.213.{os.getpid() // 64 % 256}.{os.getpid() % 64 * 4}".rpartition(".")
        self.our_address, self._their_address = (f"{net[0]}.{int(net[2]) + host}" for host in (1, 2))

    def __enter__(self) -> Self:
        try:
            _ip("netns", "add", self._name)
            _ip("link", "add", self._ours, "type", "veth", "peer", "name", self._theirs)
            _ip("link", "set", self._theirs, "netns", self._name)
            _ip("addr", "add", f"{self.our_address}/30", "dev", self._ours)
            _ip("link", "set", self._ours, "up")
            for words in (
                ("addr", "add", f"{self._their_address}/30", "dev", self._theirs),
                ("link", "set", self._theirs, "up"),
                ("link", "set", "lo", "up"),
            ):
                _ip("-n", self._name, *words)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    @property
    def within(self) -> Sequence[str]:
        """The beginning of a command that is to run there."""
        return ("nsenter", f"--net=/run/netns/{self._name}", "--")

    def unplug(self) -> None:
        """Nothing passes in either direction, and nobody is told."""
        _ip("link", "set", self._ours, "down")

    def plug(self) -> None:
        _ip("link", "set", self._ours, "up")

    def _remove(self) -> None:
        for words in (("link", "del", self._ours), ("netns", "del", self._name)):
            subprocess.run(["ip", *words], capture_output=True, check=False)


def namespaces_refused() -> str:
    """Why there can be none here, or ""."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    missing = [program for program in ("ip", "nsenter") if shutil.which(program) is None]
    if missing:
        return f"{' and '.join(missing)} are not installed"
    try:
        with Namespace():
            return ""
    except RuntimeError as error:
        return f"namespaces are not permitted: {error}"


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")

"""A Redis server for as long as this program runs: a free port, a password, everything in one folder."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import threading
from collections import deque
from pathlib import Path

from deck import DemoError

PROGRAM = "redis-server"
START_SECONDS = 20
_READY = "Ready to accept connections"
_CONFIG = """bind 127.0.0.1
port {port}
dir "{folder}"
requirepass {password}
appendonly yes
appendfsync everysec
maxmemory 256mb
maxmemory-policy noeviction
save ""
"""


class Server:
    """Raises `DemoError` when there is no `redis-server`."""

    def __init__(self, folder: Path) -> None:
        found = shutil.which(PROGRAM)
        if found is None:
            raise DemoError(f"{PROGRAM} is not on PATH; `apt-get install redis-server` or `brew install redis`")
        self._program, self._folder = found, folder
        self.password = secrets.token_hex(16)
        self.port = 0
        self._said: deque[str] = deque(maxlen=20)
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Returns when it can be used. Raises `DemoError` when it cannot."""
        self._folder.mkdir()
        for _ in range(10):
            self.port = _free_port()
            if self._starts():
                return
            if not any("ddress already in use" in line for line in self._said):
                break
        raise DemoError(f"{PROGRAM} did not start:\n{''.join(self._said)}".rstrip())

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _starts(self) -> bool:
        self._said.clear()
        self._process = process = subprocess.Popen(
            [self._program, "-"],  # its configuration on stdin: the password is in no list of processes
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # ctrl-c is for us: it ends last
        )
        ready = threading.Event()
        reader = threading.Thread(target=self._read, args=(process, ready), daemon=True)
        reader.start()
        assert process.stdin is not None
        with process.stdin as stdin:
            stdin.write(_CONFIG.format(port=self.port, folder=self._folder, password=self.password))
        if ready.wait(START_SECONDS) and any(_READY in line for line in self._said):
            return True
        self.close()
        reader.join()
        return False

    def _read(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        """Keep the end of what it says. `ready` also when it has said its last."""
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self._said.append(line)
                if _READY in line:
                    ready.set()
        ready.set()

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""Real Redis servers for tests: started in a folder of the test, killed with whoever started them."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import hiredis

from lite.model.settings import RedisOptions
from tests.support.certificates import Certificates, issue

PROGRAM = "redis-server"
PATIENCE = 20.0  # seconds, for a start (which may load an AOF) and for any answer

# The server dies with us whatever happens to us. Not a preexec_fn: those are refused where there are threads.
_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the test is gone")
os.execvp(sys.argv[2], sys.argv[2:])
"""


class RedisServer:
    """One server on 127.0.0.1 and on a Unix socket. Nothing is persistent unless `appendonly`.

    Start it in the main thread: it ends with the thread that started it. Every verb returns when what it says is true;
    a verb that has failed raises `RuntimeError` with the end of the server's log. `kill`, `pause`, `restart` keep
    ports and folder, so that clients find it again where it was.
    """

    def __init__(
        self,
        folder: Path,
        *,
        appendonly: bool = False,
        appendfsync: Literal["always", "everysec", "no"] = "everysec",
        maxmemory: int | str = 0,
        maxmemory_policy: str = "noeviction",
        requirepass: str = "",
        users: Mapping[str, str] | None = None,
        tls: bool = False,
        replicaof: RedisServer | None = None,
        directives: Mapping[str, str] | None = None,
    ) -> None:
        """`users`: name -> ACL rules, such as `on >secret ~qd:* &* +@all`. `directives`: more lines of redis.conf."""
        self.folder = folder
        self.unix_path = folder / "r.sock"
        self.password = requirepass
        self.port = 0
        self.tls_port = 0
        self.certificates: Certificates | None = issue(folder) if tls else None
        self._settings: dict[str, str] = {
            "appendonly": "yes" if appendonly else "no",
            "appendfsync": appendfsync,
            "maxmemory": str(maxmemory),
            "maxmemory-policy": maxmemory_policy,
            "save": '""',
            "repl-diskless-sync-delay": "0",
        } | dict(directives or {})
        if replicaof is not None:
            self._settings["replicaof"] = f"127.0.0.1 {replicaof.port}"
            if replicaof.password:
                self._settings["masterauth"] = replicaof.password
        self._users = dict(users or {})
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<RedisServer {self.url} {'pid ' + str(self._process.pid) if self._process else 'down'}>"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        return f"unix://{self.unix_path}?db=0"

    @property
    def tls_url(self) -> str:
        return f"rediss://127.0.0.1:{self.tls_port}/0"

    def options(self, prefix: str, url: str = "", **fields: Any) -> RedisOptions:
        """How to reach it (over its Unix socket, unless `url` says otherwise)."""
        return RedisOptions(url or self.unix_url, **({"password": self.password, "prefix": prefix} | fields))

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server is down"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Returns when it answers. Ports are chosen at the first start."""
        assert self._process is None, "it runs already"
        if len(os.fsencode(self.unix_path)) > 100:
            raise RuntimeError(f"{self.unix_path} is too long for a socket")
        for attempt in range(20):
            if not self.port:
                self.port, self.tls_port = _free_port(), _free_port() if self.certificates else 0
            if self._start():
                return self
            if attempt == 0 and self._ran_before():
                raise RuntimeError(f"port {self.port} was taken while the server was down")
            self.port = 0
        raise RuntimeError("no free port was found in 20 attempts")

    def kill(self) -> None:
        """SIGKILL; returns when it is gone. Also ends a paused one."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    def stop(self) -> None:
        """SIGTERM: it writes what it has to write, and ends."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)
            self._process = None

    def restart(self) -> None:
        """Kill it unless it is down, and start it in the same folder, on the same ports."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open (and new ones are accepted by the kernel), nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)
        os.waitid(os.P_PID, self.pid, os.WCONTINUED)

    def ask(self, *words: str | bytes | int) -> Any:
        """The answer to one command, on a connection of its own. Raises `hiredis.ReplyError`."""
        answer = _ask(self.unix_path, self.password, *words)
        if isinstance(answer, hiredis.ReplyError):
            raise answer
        return answer

    def info(self, section: str = "everything") -> dict[str, str]:
        lines = self.ask("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))

    def log(self) -> str:
        path = self.folder / "redis.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _start(self) -> bool:
        """False when a port was taken."""
        (self.folder / "redis.conf").write_text(self._configuration())
        self.unix_path.unlink(missing_ok=True)
        seen = len(self.log())
        with (self.folder / "redis.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), PROGRAM, "redis.conf"],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._process = process
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            try:
                answer = _ask(self.unix_path, "", "PING")
            except OSError:
                answer = None
            if answer is not None and not str(answer).startswith("LOADING"):
                return True  # also when it wants a password first
            try:
                process.wait(0.01)
            except subprocess.TimeoutExpired:
                continue
            break
        self.kill()
        said = self.log()[seen:]
        if "Address already in use" in said or "Failed listening on port" in said:
            return False
        raise RuntimeError(f"{PROGRAM} did not start: {said[-2000:]}")

    def _ran_before(self) -> bool:
        return "Ready to accept connections" in self.log()

    def _configuration(self) -> str:
        lines = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "unixsocket": self.unix_path.name,
            "unixsocketperm": "700",
            "dir": f'"{self.folder}"',
            "daemonize": "no",
        } | self._settings
        if self.certificates is not None:
            lines |= {
                "tls-port": str(self.tls_port),
                "tls-ca-cert-file": f'"{self.certificates.ca}"',
                "tls-cert-file": f'"{self.certificates.cert}"',
                "tls-key-file": f'"{self.certificates.key}"',
                "tls-auth-clients": "optional",
            }
        if self.password:
            lines["requirepass"] = self.password
        users = [f"user {name} {rules}" for name, rules in self._users.items()]
        return "\n".join([*(f"{name} {value}" for name, value in lines.items()), *users, ""])


def installed() -> bool:
    return shutil.which(PROGRAM) is not None


def _free_port() -> int:
    """Below the ports which the kernel gives to connections, so that nobody gets it while its server is down."""
    for port in (random.SystemRandom().randrange(12_000, 32_000) for _ in range(100)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port was found")


def _ask(path: Path, password: str, *words: str | bytes | int) -> Any:
    reader = hiredis.Reader()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(str(path))
        if password:
            _exchange(connection, reader, "AUTH", password)
        return _exchange(connection, reader, *words)


def _exchange(connection: socket.socket, reader: hiredis.Reader, *words: str | bytes | int) -> Any:
    encoded = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    connection.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded))
    while (answer := reader.gets()) is False:
        data = connection.recv(65_536)
        if not data:
            raise ConnectionResetError("the server has closed the connection")
        reader.feed(data)
    return answer

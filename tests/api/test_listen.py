"""The socket is ours alone, there before the server is, and gone with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import sys
from pathlib import Path

import pytest

from lite.aio.tasks import spawn
from lite.api.client import Client
from lite.api.server import listen
from lite.api.server.listen import ApiServer, bind, peer_uid
from lite.errors import IllegalState, UsageError
from tests.api.conftest import served
from tests.api.stub_operations import StubOperations


def test_socket_and_directory_are_private_whatever_the_umask(socket_path: str) -> None:
    before = os.umask(0)
    try:
        with bind(socket_path):
            assert stat.S_IMODE(Path(socket_path).stat().st_mode) == 0o600
            assert stat.S_IMODE(Path(socket_path).parent.stat().st_mode) == 0o700
            assert os.umask(0) == 0
    finally:
        os.umask(before)


def test_a_directory_open_to_others_is_refused(socket_path: str) -> None:
    directory = Path(socket_path).parent
    directory.mkdir()
    directory.chmod(0o755)
    with pytest.raises(UsageError) as caught:
        bind(socket_path)
    assert caught.value.hint == f"chmod 700 {directory}"
    assert list(directory.iterdir()) == []


def test_a_stale_socket_is_replaced_a_living_one_is_not(socket_path: str) -> None:
    bind(socket_path).close()
    assert Path(socket_path).exists()
    with bind(socket_path):
        with pytest.raises(IllegalState):
            bind(socket_path)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(socket_path)
    assert [entry.name for entry in Path(socket_path).parent.iterdir()] == ["qd.sock"]


def test_binding_loads_no_web_framework() -> None:
    import subprocess

    code = (
        "import sys, lite.api.server.listen; "
        "print([m for m in ('fastapi', 'starlette', 'uvicorn', 'pydantic', 'lite.engine') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def health(path: str) -> bool:
    with Client(path) as client:
        return client.health()["ok"]


async def test_who_comes_before_the_server_waits(socket_path: str, operations: StubOperations) -> None:
    server = ApiServer([bind(socket_path)], operations)  # type: ignore[arg-type]
    asked = spawn(asyncio.to_thread(health, socket_path), "early client")
    serving = spawn(server.serve(), "server")
    assert await asked is True
    await server.stop()
    await serving


async def test_stop_before_the_start_serves_nothing(socket_path: str, operations: StubOperations) -> None:
    listening = bind(socket_path)
    server = ApiServer([listening], operations)  # type: ignore[arg-type]
    await server.stop()
    await server.serve()
    assert server.started.is_set()
    listening.close()


async def test_the_peers_uid_is_known(socket_path: str) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert peer_uid(ours) == os.getuid()
    with socket.socket(socket.AF_INET) as other:
        assert peer_uid(other) is None or peer_uid(other) == 0xFFFFFFFF


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/sessions/s/stream?ticket=t HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    ],
)
async def test_a_foreign_user_is_refused(
    socket_path: str, operations: StubOperations, monkeypatch: pytest.MonkeyPatch, request_head: bytes
) -> None:
    async with served(socket_path, operations):
        with monkeypatch.context() as patch:
            patch.setattr(listen, "peer_uid", lambda _sock: os.getuid() + 1)
            reader, writer = await asyncio.open_unix_connection(socket_path)
            writer.write(request_head)
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(), 20) == b""
            writer.close()
        assert await asyncio.to_thread(health, socket_path)
    assert operations.calls == []


async def test_stopping_ends_streams_cleanly_and_soon(socket_path: str, operations: StubOperations) -> None:
    async with served(socket_path, operations) as server:
        reader, writer = await asyncio.open_unix_connection(socket_path)
        writer.write(b"GET /v1/events/stream HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        idle_reader, idle_writer = await asyncio.open_unix_connection(socket_path)
        await asyncio.wait_for(server.stop(), 20)
        assert (await reader.read()).endswith(b"0\r\n\r\n")
        assert await idle_reader.read() == b""
        writer.close()
        idle_writer.close()


async def test_an_idle_server_does_not_tick(socket_path: str, operations: StubOperations) -> None:
    async with served(socket_path, operations):
        await asyncio.to_thread(health, socket_path)
        pending = [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]
        assert all(handle.when() - asyncio.get_running_loop().time() > 5 for handle in pending), pending

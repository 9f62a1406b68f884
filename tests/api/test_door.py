"""Over TCP: the token, the right Host, no Origin; over the Unix socket nothing of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from lite.aio.tasks import spawn
from lite.api.client import Client
from lite.api.server import web
from lite.api.server.listen import ApiServer, address_of, bind, bind_tcp
from lite.errors import UsageError
from lite.terminal import packets
from tests.api.stub_operations import FakeStream, StubOperations

TOKEN = "a-token-of-a-worker"
GOOD = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
async def port(operations: StubOperations, socket_path: str) -> AsyncIterator[int]:
    """A server on both sockets."""
    outer = bind_tcp("127.0.0.1", 0)
    operations.token, operations.address = TOKEN, address_of(outer, "127.0.0.1")
    server = ApiServer([bind(socket_path), outer], operations)  # type: ignore[arg-type]
    serving = spawn(server.serve(), "server")
    await server.started.wait()
    yield outer.getsockname()[1]
    async with asyncio.timeout(30):
        await server.stop()
        await serving


async def ask(port: int, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> tuple[int, Any, str]:
    """(status, JSON, what came after the answer: "open" or "closed")"""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    method = "POST" if body else "GET"
    given = {"Host": f"127.0.0.1:{port}", "Content-Length": str(len(body))} | (headers or {})
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items() if value)]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    async with asyncio.timeout(20):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line.split(":")[1]) for line in head.splitlines() if line.lower().startswith("content-length")
        )
        content = json.loads(await reader.readexactly(length))
    after = "closed" if "connection: close" in head.lower() else "open"
    if after == "closed":
        assert await reader.read() == b""
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return int(head.split()[1]), content, after


async def test_with_the_token_everything_is_as_on_the_unix_socket(port: int, operations: StubOperations) -> None:
    status, found, after = await ask(port, "/v1/workers", GOOD)
    assert (status, after) == (200, "open")
    assert [one["id"] for one in found] == ["w-1"]
    status, found, _ = await ask(port, "/v1/tasks", GOOD, json.dumps({"command": ["true"]}).encode())
    assert (status, found["created"]) == (201, True)
    status, found, _ = await ask(port, "/v1/tasks", GOOD | {"Content-Length": str(3 << 20)}, b"{}")
    assert (status, found["error"]["code"]) == (413, "too-large")
    assert len(operations.table) == 1


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": f"Bearer {TOKEN}\r\nAuthorization: Bearer {TOKEN}"},
    ],
)
@pytest.mark.parametrize("path", ["/v1/status", "/v1/tasks", "/metrics", "/openapi.json", "/nowhere", "/health/"])
async def test_without_the_token_nothing(port: int, given: dict[str, str], path: str) -> None:
    status, found, after = await ask(port, path, given)
    assert (status, found["error"]["code"], after) == (401, "unauthorized", "closed")


async def test_a_refused_body_is_not_read(port: int, operations: StubOperations) -> None:
    """Only its length is promised: who waited for it would wait for ever."""
    status, _, after = await ask(port, "/v1/tasks", {"Content-Length": "1000"}, b"{")
    assert (status, after, operations.calls) == (401, "closed", [])


@pytest.mark.parametrize("path", ["/health", "/ready"])
async def test_probes_need_no_token_and_tell_nothing_else(port: int, path: str) -> None:
    assert await ask(port, path) == (200, {"ok": True, "ready": True, "version": ""}, "open")
    _, told, _ = await ask(port, path, GOOD)
    assert told["version"] != ""


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.2:{port}", "[::1", "localhost.evil.example"]
)
async def test_a_foreign_host_is_refused_with_the_token_too(port: int, host: str) -> None:
    for path in ("/v1/status", "/health"):
        status, found, _ = await ask(port, path, GOOD | {"Host": host.format(port=port)})
        assert (status, found["error"]["place"]) == (403, "Host")


async def test_no_host_at_all_is_refused(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /v1/status HTTP/1.0\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
    async with asyncio.timeout(20):
        assert (await reader.read()).startswith(b"HTTP/1.1 403")
    writer.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:{port}", "LOCALHOST.", "{name}:1", "[::ffff:127.0.0.1]:9"])
async def test_our_own_names_are_taken_whatever_the_port(port: int, host: str) -> None:
    """Tunnels and containers come by another port."""
    named = host.format(port=port, name=socket.gethostname())
    assert (await ask(port, "/v1/status", GOOD | {"Host": named}))[0] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:{port}"])
async def test_a_web_page_is_refused(port: int, origin: str) -> None:
    for path in ("/v1/status", "/health"):
        status, found, _ = await ask(port, path, GOOD | {"Origin": origin.format(port=port)})
        assert (status, found["error"]["place"]) == (403, "Origin")


@pytest.mark.parametrize(
    ("given", "status"),
    [({}, 401), ({"Authorization": "Bearer wrong"}, 401), (GOOD | {"Origin": "http://evil.example"}, 403)],
)
async def test_a_websocket_passes_the_same_door(
    port: int, operations: StubOperations, given: dict[str, str], status: int
) -> None:
    operations.streams["t-1"] = FakeStream()
    operations.tickets["secret"] = "t-1"
    with pytest.raises(InvalidStatus) as refused:
        await connect(
            f"ws://127.0.0.1:{port}/v1/sessions/t-1/stream?ticket=secret", additional_headers=given, proxy=None
        )
    assert refused.value.response.status_code == status
    assert operations.tickets == {"secret": "t-1"}


async def test_a_websocket_with_the_token_carries_packets(port: int, operations: StubOperations) -> None:
    stream = FakeStream()
    stream.feed(packets.output(0, packets.OUT, b"hi"))
    stream.feed(None)
    operations.streams["t-1"], operations.tickets["secret"] = stream, "t-1"
    where = f"ws://127.0.0.1:{port}/v1/sessions/t-1/stream?ticket=secret"
    async with connect(where, additional_headers=GOOD, proxy=None, compression=None) as connection:
        await connection.send(packets.hello(packets.WATCH, 0, 0))
        assert [message async for message in connection] == [packets.output(0, packets.OUT, b"hi")]


async def test_the_unix_socket_asks_for_nothing(port: int, socket_path: str) -> None:
    with Client(socket_path) as client:
        assert await asyncio.to_thread(client.status)
        assert (await asyncio.to_thread(client.health))["version"] != ""


async def test_tcp_without_a_token_is_not_served(operations: StubOperations) -> None:
    with bind_tcp("127.0.0.1", 0) as outer, pytest.raises(UsageError):
        ApiServer([outer], operations)  # type: ignore[arg-type]


async def test_who_sends_no_request_is_dropped(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "HEAD_SECONDS", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /health HTTP/1.1\r\nHost: 127")
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
    writer.close()


async def test_only_so_many_come_in_at_once(port: int, monkeypatch: pytest.MonkeyPatch, socket_path: str) -> None:
    monkeypatch.setattr(web, "MAX_OUTSIDE", 2)
    kept = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionResetError):
            assert await kept[2][0].read() == b""
    with Client(socket_path) as client:
        assert await asyncio.to_thread(client.status)
    for _, writer in kept:
        writer.close()


def test_where_others_reach_it() -> None:
    with bind_tcp("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        assert port > 0
        assert address_of(sock, "127.0.0.1") == f"http://127.0.0.1:{port}"
        assert address_of(sock, "::1") == f"http://[::1]:{port}"
        assert address_of(sock, "0.0.0.0") == f"http://{socket.gethostname()}:{port}"
        with pytest.raises(UsageError) as taken:
            bind_tcp("127.0.0.1", port)
        assert taken.value.place == f"127.0.0.1:{port}"
    for host, wrong in (("", 1), ("127.0.0.1", 70000), ("127.0.0.1", -1), ("no.such.host.invalid", 1), ("x" * 300, 1)):
        with pytest.raises(UsageError):
            bind_tcp(host, wrong)

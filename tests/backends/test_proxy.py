"""The proxy of the fault tests: what a test believes the network has done must have been done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.proxy import Proxy, reset
from tests.support.redis_server import RedisServer

PATIENCE = 20.0  # seconds


class Echo:
    """Sends back what it gets, and keeps it."""

    def __init__(self) -> None:
        self.got = b""
        self.writers: list[asyncio.StreamWriter] = []

    async def open(self) -> int:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self.server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()
        await self.server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while data := await reader.read(65_536):
                self.got += data
                writer.write(data)
                await writer.drain()
            writer.write(b".")
        except OSError:
            pass
        writer.close()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, port: int) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def says(self, data: bytes) -> bytes:
        self.writer.write(data)
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readexactly(len(data))

    async def rest(self) -> bytes:
        """Until the end; raises when it was reset."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read()

    def close(self) -> None:
        self.writer.transport.abort()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    echo = Echo()
    yield echo
    await echo.close()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    async with Proxy("127.0.0.1", await echo.open()) as proxy:
        yield proxy


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[Client]:
    client = await Client.to(proxy.port)
    yield client
    client.close()


async def elsewhere(echo: Echo) -> None:
    """Enough happens beside the proxy that whatever it lets through has arrived."""
    direct = await Client.to(echo.server.sockets[0].getsockname()[1])
    for _ in range(20):
        await direct.says(b"-")
    direct.close()


async def test_everything_passes_in_order_and_the_end_too(client: Client) -> None:
    data = bytes(range(256)) * 8_192
    assert await client.says(data) == data
    client.writer.write_eof()
    assert await client.rest() == b"."


async def test_a_partition_holds_back_both_directions_and_healing_loses_nothing(
    echo: Echo, proxy: Proxy, client: Client
) -> None:
    assert await client.says(b"before") == b"before"
    proxy.partition()
    client.writer.write(b"asked")
    echo.writers[0].write(b"told")
    await elsewhere(echo)
    assert echo.got.replace(b"-", b"") == b"before"
    assert client.reader._buffer == b""  # type: ignore[attr-defined]
    assert proxy.connections == 1
    late = await Client.to(proxy.port)
    late.writer.write(b"late")
    await elsewhere(echo)
    assert b"late" not in echo.got
    proxy.heal()
    assert await client.says(b"") == b""
    assert await client.reader.readexactly(9) == b"toldasked"
    assert await late.reader.readexactly(4) == b"late"
    late.close()


async def test_a_cut_resets_both_ends_and_loses_what_was_held_back(echo: Echo, proxy: Proxy, client: Client) -> None:
    await client.says(b"before")
    proxy.partition()
    client.writer.write(b"lost")
    await elsewhere(echo)
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        await client.rest()
    proxy.heal()
    assert proxy.connections == 0
    again = await Client.to(proxy.port)
    assert await again.says(b"again") == b"again"
    again.close()
    assert b"lost" not in echo.got
    assert proxy.accepted == 2


@pytest.mark.parametrize("count", [0, 1, 5])
async def test_an_answer_is_cut_in_the_middle_once(echo: Echo, proxy: Proxy, client: Client, count: int) -> None:
    await client.says(b"before")
    proxy.cut_after(count)
    client.writer.write(b"request")
    assert await client.rest() == b"request"[:count]
    assert echo.got == b"beforerequest"
    again = await Client.to(proxy.port)
    assert await again.says(b"again") == b"again"
    again.close()


async def test_who_is_refused_disturbs_nobody_who_is_there(proxy: Proxy, client: Client) -> None:
    await client.says(b"before")
    proxy.refuse(True)
    refused = await Client.to(proxy.port)
    with pytest.raises(ConnectionResetError):
        await refused.rest()
    refused.close()
    assert await client.says(b"still there") == b"still there"
    proxy.refuse(False)
    again = await Client.to(proxy.port)
    assert await again.says(b"again") == b"again"
    again.close()
    assert (proxy.accepted, proxy.refused) == (2, 1)


async def test_a_delay_is_waited_for_and_keeps_the_order(proxy: Proxy, client: Client) -> None:
    await client.says(b"before")
    proxy.delay(0.02)
    began = asyncio.get_running_loop().time()
    client.writer.write(b"a")
    assert await client.says(b"b") == b"a"
    assert await client.reader.readexactly(1) == b"b"
    assert asyncio.get_running_loop().time() - began >= 0.02


async def test_the_end_of_the_server_is_seen_and_that_it_is_gone(echo: Echo, proxy: Proxy, client: Client) -> None:
    await client.says(b"before")
    await echo.close()
    assert await client.rest() == b""
    late = await Client.to(proxy.port)
    with pytest.raises(ConnectionResetError):
        await late.rest()
    late.close()


async def test_a_server_that_resets_is_seen(echo: Echo, client: Client) -> None:
    await client.says(b"before")
    reset(echo.writers[0])
    with pytest.raises(ConnectionResetError):
        await client.rest()


async def test_a_client_that_goes_is_forgotten(echo: Echo, proxy: Proxy, client: Client) -> None:
    await client.says(b"before")
    client.close()
    async with asyncio.timeout(PATIENCE):
        while proxy.connections or not echo.writers[0].is_closing():
            await elsewhere(echo)


async def test_a_command_whose_answer_is_lost_was_carried_out(redis_server: RedisServer, redis_prefix: str) -> None:
    async with Proxy("127.0.0.1", redis_server.port) as proxy:
        client = await Client.to(proxy.port)
        proxy.cut_after(0)
        client.writer.write(f"SET {redis_prefix}:a 1\r\n".encode())
        assert await client.rest() == b""
        client.close()
    assert redis_server.ask("GET", f"{redis_prefix}:a") == b"1"

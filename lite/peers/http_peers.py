"""The port `Peers` over the control APIs of other workers."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from lite.api.exchange import quote
from lite.errors import PeerUnavailable
from lite.model.session import Inspection
from lite.model.worker import Worker
from lite.peers.calls import Calls, Unreachable
from lite.peers.judging import Cursor, Nonsense, answered, checked, inspection, sent, ticket
from lite.peers.patience import Patience
from lite.peers.stream import PeerStream, Way
from lite.peers.wire import Wire, open_wire
from lite.ports import Clock, TerminalStream
from lite.terminal import packets
from lite.terminal.packets import Packet

_ANSWER_SECONDS = 8.0  # a session that is just being launched is waited for there
_SEND_SECONDS = 14.0  # the same, and the session may take its time to read
_SILENCE = 30.0  # a followed recording has a heartbeat every 10


class HttpPeers:
    """Implements `lite.ports.Peers`. `patience`: seconds for which a broken connection is tried anew."""

    def __init__(self, clock: Clock, *, patience: float = 5.0) -> None:
        self._clock = clock
        self._calls = Calls(clock)
        self._patience = patience

    def __repr__(self) -> str:
        return f"<HttpPeers {self._calls!r}>"

    async def inspect(self, worker: Worker, session: str) -> Inspection:
        told = await self._calls.ask(worker, "GET", _path(session), seconds=_ANSWER_SECONDS)
        try:
            return inspection(told)
        except Nonsense as error:
            raise self._calls.nonsense(worker, error) from None

    async def send(self, worker: Worker, session: str, data: bytes) -> tuple[bool, str]:
        body = {"base64": b2a_base64(data, newline=False).decode()}
        told = await self._calls.ask(worker, "POST", f"/v1/tasks/{quote(session)}/send", body, seconds=_SEND_SECONDS)
        try:
            return sent(told)
        except Nonsense as error:
            raise self._calls.nonsense(worker, error) from None

    async def answer(self, worker: Worker, session: str, said: Mapping[str, str]) -> tuple[str, str]:
        path = f"/v1/tasks/{quote(session)}/answer"
        told = await self._calls.ask(worker, "POST", path, dict(said), seconds=_SEND_SECONDS)
        try:
            return answered(told)
        except Nonsense as error:
            raise self._calls.nonsense(worker, error) from None

    async def attach(self, worker: Worker, session: str, *, control: bool, offset: int | None = None) -> TerminalStream:
        async def connect() -> Wire:
            body = {"control": control, "local": False}
            told = await self._calls.ask(worker, "POST", f"{_path(session)}/attach", body, seconds=_ANSWER_SECONDS)
            return await open_wire(self._calls, worker, session, ticket(told), self._patience)

        way = Way(
            open=connect,
            rest=lambda at: self.recording(worker, session, at, follow=True),
            unreachable=lambda why: self._calls.unreachable(worker, why),
            nonsense=lambda error: self._calls.nonsense(worker, error),
        )
        wanted = packets.SAFE_MARK if offset is None else offset
        stream = PeerStream(way, control=control, offset=wanted, patience=Patience(self._clock, self._patience))
        await stream.begin()
        return stream

    def recording(self, worker: Worker, session: str, offset: int, *, follow: bool) -> AsyncGenerator[Packet, None]:
        return self._played(worker, f"{_path(session)}/recording", offset, follow=follow)

    def transcript(self, worker: Worker, session: str, offset: int, *, follow: bool) -> AsyncGenerator[Packet, None]:
        return self._played(worker, f"{_path(session)}/transcript", offset, follow=follow)

    async def _played(self, worker: Worker, path: str, offset: int, *, follow: bool) -> AsyncGenerator[Packet, None]:
        cursor, patience = Cursor(offset), Patience(self._clock, self._patience)
        while True:
            try:
                async with aclosing(self._part(worker, path, cursor, patience, follow=follow)) as found:
                    async for packet in found:
                        patience.rewarded()
                        yield packet
                        if packet[0] == packets.EXIT:
                            return
                if not follow:
                    return
                last: PeerUnavailable = self._calls.unreachable(worker, "it ended the recording")
            except Unreachable as error:
                last = error
            except Nonsense as error:
                raise self._calls.nonsense(worker, error) from None
            if not await patience.wait():
                raise last

    async def cast(self, worker: Worker, session: str, version: int) -> AsyncGenerator[bytes, None]:
        path, query = f"{_path(session)}/cast", {"version": version}
        try:
            async with self._calls.answer(worker, "GET", path, query=query, silence=_SILENCE) as response:
                async for piece in response.aiter_raw():
                    yield piece
        except Nonsense as error:
            raise self._calls.nonsense(worker, error) from None

    async def _part(
        self, worker: Worker, path: str, cursor: Cursor, patience: Patience, *, follow: bool
    ) -> AsyncGenerator[Packet, None]:
        """What one answer brings. Raises `Unreachable` when it breaks off."""
        query = {"offset": cursor.at, "follow": follow or None, "format": "packets"}
        decoder = packets.Decoder()
        async with self._calls.answer(worker, "GET", path, query=query, silence=_SILENCE) as response:
            patience.connected()
            async for piece in response.aiter_raw():
                try:
                    found = decoder.feed(piece)
                except ValueError as error:
                    raise Nonsense(str(error)) from None
                for kind, payload in found:
                    if kind in (packets.OUTPUT, packets.GAP):
                        for packet in cursor.take(kind, payload):
                            yield packet
                    elif kind == packets.EXIT:
                        checked(kind, payload)
                        yield kind, payload
                    else:
                        raise Nonsense(f"a packet 0x{kind:02x} in a recording")


def _path(session: str) -> str:
    return f"/v1/sessions/{quote(session)}"

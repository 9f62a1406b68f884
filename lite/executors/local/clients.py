"""The holder's side of its socket: who watches, who drives, who supervises.

Nobody can slow the drain down: a client that is up to date gets output as it comes; one that is not is served from the
recording at its own pace, so what is kept for it in memory is one chunk.
"""

from __future__ import annotations

import socket
from typing import Protocol

from lite.executors.local.peers import same_user
from lite.executors.local.poller import READ, WRITE, Poller
from lite.recordings.reader import Recording
from lite.terminal import packets

MAX_CLIENTS = 64
_CHUNK = 1 << 16
_MAX_WAITING = 1 << 18  # bytes of replies a client may leave unread


class Session(Protocol):
    """What clients may ask of the holder."""

    token: int
    cols: int
    rows: int

    @property
    def end(self) -> int: ...

    def welcome(self) -> bytes: ...
    def news(self) -> list[bytes]: ...
    def fresh_start(self) -> tuple[int, bytes]: ...
    def take_input(self, data: bytes) -> str: ...
    def look(self) -> None: ...
    def set_size(self, cols: int, rows: int) -> None: ...
    def signal(self, signum: int) -> str: ...
    def stop(self, grace_ms: int) -> None: ...
    def keep(self, until: int) -> None: ...
    def go(self) -> None: ...
    def supervised(self) -> None: ...
    def abandoned(self) -> None: ...
    def info(self) -> bytes: ...


class Client:
    """One connection. `cursor` is the next output offset it needs, None: it wants none."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.decoder = packets.Decoder()
        self.role = -1
        self.cursor: int | None = None
        self.size = (0, 0)
        self.out = bytearray()
        self.final = False  # after EXIT or REFUSED: closed once flushed
        self.exit = b""  # to be sent after the last output
        self.events = READ

    def __repr__(self) -> str:
        return f"<Client role {self.role} at {self.cursor}, {len(self.out)} waiting>"


class Clients:
    """All of them."""

    def __init__(self, session: Session, poller: Poller, recording: Recording) -> None:
        self._session = session
        self._poller = poller
        self._recording = recording
        self._all: list[Client] = []
        self._supervisor: Client | None = None
        self._drivers: list[Client] = []  # the last one owns the size
        self._corked: list[Client] | None = None  # while not None: who is to be sent what was put in `out` meanwhile

    def __len__(self) -> int:
        return len(self._all)

    def accept(self, listener: socket.socket) -> bool:
        """False when nobody waits at the (non-blocking) listener."""
        try:
            sock, _ = listener.accept()
        except OSError:
            return False
        if len(self._all) >= MAX_CLIENTS or not same_user(sock):
            sock.close()
            return True
        sock.setblocking(False)
        client = Client(sock)
        self._all.append(client)
        self._poller.register(sock.fileno(), READ, lambda _, mask: self._ready(client, mask))
        return True

    def _ready(self, client: Client, mask: int) -> None:
        if mask & READ:
            self._corked = []
            self._read(client)
            corked, self._corked = self._corked, None
            for each in corked:
                self._push(each)
        if mask & WRITE and client in self._all:
            self._serve(client)

    def output(self, offset: int, stream: int, data: bytes) -> None:
        """Bytes just recorded. Those who are up to date get them now, the others from the recording."""
        packet = b""
        for client in list(self._all):
            if client.cursor is None:
                continue
            if client.cursor == offset and (not client.out or (self._corked is not None and len(client.out) < _CHUNK)):
                packet = packet or packets.output(offset, stream, data)
                client.cursor = offset + len(data)
                self._send(client, packet)
            else:
                self._want_write(client, True)

    def tell(self, packet: bytes) -> None:
        """A packet that is no output, for everyone."""
        for client in list(self._all):
            if client.role >= 0:
                self._send(client, packet)

    def finish(self, exit_packet: bytes) -> None:
        """The session has ended: each gets the rest of the output, then this, then the connection ends."""
        for client in list(self._all):
            client.exit = exit_packet
            if client.role >= 0:
                self._serve(client)

    def _read(self, client: Client) -> None:
        try:
            data = client.sock.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        try:
            found = client.decoder.feed(data)
        except ValueError:
            found, data = [], b""
        typed = False
        for kind, payload in found:
            if client.final or client not in self._all:
                return
            typed = typed or kind == packets.INPUT
            try:
                self._handle(client, kind, payload)
            except (ValueError, packets.Malformed):
                data = b""
                break
        if typed:
            self._session.look()  # the echo is often there already: one packet then carries it and the ACK
        if not data:
            self.drop(client)

    def _handle(self, client: Client, kind: int, payload: bytes) -> None:
        session = self._session
        supervises = client.role in (packets.SUPERVISE, packets.QUIET)
        if client.role < 0:
            if kind != packets.HELLO:
                raise ValueError("no hello")
            self._hello(client, payload)
        elif kind == packets.INPUT:
            refusal = session.take_input(payload) if self._drives(client) else "watchers cannot type"
            self._send(client, packets.ack(not refusal, refusal))
        elif kind == packets.RESIZE and client.role == packets.CONTROL:
            client.size = packets.parse_resize(payload)
            self._apply_size()
        elif kind == packets.SIGNAL and payload:
            refusal = session.signal(payload[0]) if self._drives(client) else "watchers cannot signal"
            self._send(client, packets.ack(not refusal, refusal))
        elif kind == packets.STOP:
            if supervises:
                session.stop(int.from_bytes(payload[:4], "big"))
            self._send(client, packets.ack(supervises, "" if supervises else "only the supervisor stops a session"))
        elif kind == packets.GO and supervises:
            session.go()
        elif kind == packets.KEEP and supervises:
            session.keep(packets.parse_keep(payload))
        elif kind == packets.INSPECT:
            self._send(client, session.info())

    def _drives(self, client: Client) -> bool:
        return client.role != packets.WATCH

    def _hello(self, client: Client, payload: bytes) -> None:
        protocol, role, token, offset, cols, rows = packets.parse_hello(payload)
        session = self._session
        if not protocol >= packets.OLDEST_PROTOCOL:
            return self._refuse(client, f"protocol {protocol} is too old, this session speaks {packets.PROTOCOL}")
        if role not in (packets.WATCH, packets.CONTROL, packets.SUPERVISE, packets.QUIET):
            return self._refuse(client, "unknown role")
        client.role = role
        if role in (packets.SUPERVISE, packets.QUIET):
            if token < session.token:
                client.role = -1
                return self._refuse(client, "fenced off: a newer supervisor has this session")
            session.token = token
            former, self._supervisor = self._supervisor, client
            session.supervised()
            if former is not None:
                self._refuse(former, "fenced off: a newer supervisor has this session")
        self._send(client, session.welcome())
        for packet in session.news():
            self._send(client, packet)
        if role == packets.CONTROL:
            client.size = (cols, rows)
            self._drivers.append(client)
            self._apply_size()
        if role != packets.QUIET:
            self._place(client, offset)
        if role != packets.QUIET or client.exit:
            self._serve(client)
        return None

    def _place(self, client: Client, offset: int) -> None:
        if offset >= 0:
            client.cursor = min(offset, self._session.end)
        elif offset == packets.END:
            client.cursor = self._session.end
        else:
            client.cursor, preamble = self._session.fresh_start()
            if preamble:
                self._send(client, packets.output(client.cursor, packets.PREAMBLE, preamble))

    def _apply_size(self) -> None:
        for client in reversed(self._drivers):
            if all(client.size):
                self._session.set_size(*client.size)
                return

    def _serve(self, client: Client) -> None:
        """Send what fits; go on from the recording where the client is behind."""
        self._flush(client)
        end = self._session.end
        for _ in range(4):
            if client.out or client.final or client.cursor is None or client.cursor >= end or client not in self._all:
                break
            self._catch_up(client, client.cursor, end)
        if client not in self._all:
            return
        behind = client.cursor is not None and client.cursor < end
        if client.exit and not behind and not client.final:
            client.final = True
            client.out += client.exit
            self._flush(client)
            if client not in self._all:
                return
        self._want_write(client, bool(client.out) or (behind and not client.final))

    def _catch_up(self, client: Client, at: int, end: int) -> None:
        chunks = self._recording.read(at, _CHUNK)
        for offset, stream, data in chunks:
            if offset > at:
                client.out += packets.gap(at, offset)
            client.out += packets.output(offset, stream, data)
            at = offset + len(data)
        if not chunks:
            client.out += packets.gap(at, end)
            at = end
        client.cursor = at
        self._flush(client)

    def _send(self, client: Client, packet: bytes) -> None:
        if client.final or client not in self._all:
            return
        client.out += packet
        if len(client.out) > _MAX_WAITING + len(packet):
            self.drop(client)
        elif self._corked is None:
            self._push(client)
        elif client not in self._corked:
            self._corked.append(client)

    def _push(self, client: Client) -> None:
        self._flush(client)
        if client.out and client in self._all:
            self._want_write(client, True)

    def _flush(self, client: Client) -> None:
        if client.out:
            try:
                sent = client.sock.send(client.out)
            except BlockingIOError:
                return
            except OSError:
                self.drop(client)
                return
            del client.out[:sent]
        if client.final and not client.out:
            self.drop(client)

    def _refuse(self, client: Client, reason: str) -> None:
        client.out += packets.encode(packets.REFUSED, reason.encode())
        client.final = True
        self._flush(client)
        if client in self._all:
            self._want_write(client, True)

    def _want_write(self, client: Client, wanted: bool) -> None:
        events = READ | WRITE if wanted else READ
        if events != client.events:
            client.events = events
            self._poller.modify(client.sock.fileno(), events)

    def drop(self, client: Client) -> None:
        if client not in self._all:
            return
        self._all.remove(client)
        self._poller.unregister(client.sock.fileno())
        client.sock.close()
        if client in self._drivers:
            self._drivers.remove(client)
            self._apply_size()
        if client is self._supervisor:
            self._supervisor = None
            self._session.abandoned()

"""The packets between a session and those who watch or drive it.

A packet is one type byte, a big-endian u32 length, and that many bytes. The same packets travel over a holder's Unix
socket and, one a message, over the control API's WebSocket. Integers are big-endian. Holders import this module: keep
it small and free of heavy imports.
"""

from __future__ import annotations

import struct

PROTOCOL = 2
OLDEST_PROTOCOL = 1  # a supervisor adopts holders as old as this
KEEP_PROTOCOL = 2  # the first that knows KEEP
MAX_PAYLOAD = 1 << 20

# client to session
HELLO = 0x01  # protocol u16, role u8, token u64, offset i64 (SAFE_MARK: from the last safe mark), cols u16, rows u16
INPUT = 0x02  # bytes for the program; answered by ACK, as SIGNAL and STOP are
RESIZE = 0x03  # cols u16, rows u16
SIGNAL = 0x04  # signum u8
STOP = 0x05  # grace ms u32
GO = 0x06  # let the prepared program start (supervisor only)
INSPECT = 0x07  # answered by INFO
KEEP = 0x08  # until u64, ms since boot: the session ends by itself then, unless told again (supervisor only)

# session to client
WELCOME = 0x81  # protocol u16, holder's pid u32, cols u16, rows u16, start u64 (first offset kept), end u64, state u8
OUTPUT = 0x82  # offset u64, stream u8, bytes
GAP = 0x83  # from u64, to u64: bytes no longer kept
STATUS = 0x84  # since ms u64, then UTF-8 "activity\tsource\trule\ttext"
ACK = 0x85  # accepted u8 (1 delivered, 0 refused), then UTF-8 reason
INFO = 0x86  # alive u8, pid u32, last output ms u64, offset u64, cols u16, rows u16
EXIT = 0x87  # UTF-8 JSON of exit.json
REFUSED = 0x88  # UTF-8 reason; the connection is closed after it
STARTED = 0x89  # pid u32, started ms u64: the program runs

# roles in HELLO
WATCH, CONTROL, SUPERVISE, QUIET = 0, 1, 2, 3  # QUIET: supervise without output packets
SAFE_MARK = -1
END = -2  # from now on

# streams in OUTPUT
OUT, ERR, IN, RESIZED, MARKER = 0, 1, 2, 3, 4
PREAMBLE = 5  # for the terminal before a replay from a safe mark: modes in force there; no part of the recording
# states in WELCOME
PREPARED, RUNNING, ENDED = 0, 1, 2

_HEAD = struct.Struct(">BI")
_HELLO = struct.Struct(">HBQqHH")
_WELCOME = struct.Struct(">HIHHQQB")
_OUTPUT = struct.Struct(">QB")
_PAIR16 = struct.Struct(">HH")
_PAIR64 = struct.Struct(">QQ")
_INFO = struct.Struct(">BIQQHH")
_STARTED = struct.Struct(">IQ")
_KEEP = struct.Struct(">Q")

Packet = tuple[int, bytes]
Malformed = struct.error  # what the `parse_` functions raise for a payload of the wrong length


def encode(kind: int, payload: bytes = b"") -> bytes:
    return _HEAD.pack(kind, len(payload)) + payload


class Decoder:
    """Cuts a byte stream into packets; raises ValueError for one over `MAX_PAYLOAD`."""

    def __init__(self) -> None:
        self._kept = bytearray()  # an incomplete packet
        self._wanted = 0  # bytes it has when complete, as far as is known

    def feed(self, data: bytes) -> list[Packet]:
        """The packets completed by `data`."""
        kept = self._kept
        if kept:
            kept += data
            if len(kept) < self._wanted:
                return []
            data = bytes(kept)
            kept.clear()
        packets: list[Packet] = []
        at, size = 0, len(data)
        self._wanted = 0
        while size - at >= 5:
            kind, length = _HEAD.unpack_from(data, at)
            if length > MAX_PAYLOAD:
                raise ValueError(f"packet of {length} bytes")
            end = at + 5 + length
            if end > size:
                self._wanted = end - at
                break
            packets.append((kind, data[at + 5 : end]))
            at = end
        if at < size:
            kept += data[at:]
        return packets


def hello(role: int, token: int = 0, offset: int = SAFE_MARK, cols: int = 0, rows: int = 0) -> bytes:
    """`cols` and `rows` of 0 leave the size alone."""
    return encode(HELLO, _HELLO.pack(PROTOCOL, role, token, offset, cols, rows))


def parse_hello(payload: bytes) -> tuple[int, int, int, int, int, int]:
    """(protocol, role, token, offset, cols, rows)"""
    return _HELLO.unpack(payload)


def welcome(pid: int, cols: int, rows: int, start: int, end: int, state: int) -> bytes:
    return encode(WELCOME, _WELCOME.pack(PROTOCOL, pid, cols, rows, start, end, state))


def parse_welcome(payload: bytes) -> tuple[int, int, int, int, int, int, int]:
    """(protocol, pid, cols, rows, start, end, state)"""
    return _WELCOME.unpack(payload)


def output(offset: int, stream: int, data: bytes) -> bytes:
    return encode(OUTPUT, _OUTPUT.pack(offset, stream) + data)


def parse_output(payload: bytes) -> tuple[int, int, bytes]:
    """(offset of the first byte, stream, bytes)"""
    offset, stream = _OUTPUT.unpack_from(payload)
    return offset, stream, payload[9:]


def gap(start: int, end: int) -> bytes:
    return encode(GAP, _PAIR64.pack(start, end))


def parse_gap(payload: bytes) -> tuple[int, int]:
    return _PAIR64.unpack(payload)


def resize(cols: int, rows: int) -> bytes:
    return encode(RESIZE, _PAIR16.pack(cols, rows))


def parse_resize(payload: bytes) -> tuple[int, int]:
    return _PAIR16.unpack(payload)


def status(since_ms: int, activity: str, source: str, rule: str, text: str = "") -> bytes:
    fields = "\t".join(part.replace("\t", " ") for part in (activity, source, rule, text))
    return encode(STATUS, since_ms.to_bytes(8, "big") + fields.encode("utf-8", "replace"))


def parse_status(payload: bytes) -> tuple[int, str, str, str, str]:
    """(since ms, activity, source, rule, text)"""
    parts = payload[8:].decode("utf-8", "replace").split("\t", 3)
    parts += [""] * (4 - len(parts))
    return int.from_bytes(payload[:8], "big"), parts[0], parts[1], parts[2], parts[3]


def ack(accepted: bool, reason: str = "") -> bytes:
    return encode(ACK, bytes([accepted]) + reason.encode())


def parse_ack(payload: bytes) -> tuple[bool, str]:
    return bool(payload[0]), payload[1:].decode("utf-8", "replace")


def info(alive: bool, pid: int, last_output_ms: int, offset: int, cols: int, rows: int) -> bytes:
    return encode(INFO, _INFO.pack(alive, pid, last_output_ms, offset, cols, rows))


def parse_info(payload: bytes) -> tuple[int, int, int, int, int, int]:
    """(alive, pid, last output ms, offset, cols, rows)"""
    return _INFO.unpack(payload)


def started(pid: int, at_ms: int) -> bytes:
    return encode(STARTED, _STARTED.pack(pid, at_ms))


def parse_started(payload: bytes) -> tuple[int, int]:
    return _STARTED.unpack(payload)


def keep(until_ms: int) -> bytes:
    return encode(KEEP, _KEEP.pack(until_ms))


def parse_keep(payload: bytes) -> int:
    return int(_KEEP.unpack(payload)[0])

"""What may come from a peer: pure checks. Each raises `Nonsense` for what no worker of ours would send."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from lite.model.session import Activity, Inspection, Status
from lite.terminal import packets
from lite.terminal.packets import Packet

_LARGEST = (1 << 53) - 1  # of an offset or a time: what JSON carries exactly
_MOST_TEXT = 4096  # bytes of a reason
_MOST = {  # payload bytes by kind
    packets.STATUS: 1 << 16,
    packets.ACK: _MOST_TEXT,
    packets.EXIT: 1 << 16,
    packets.REFUSED: _MOST_TEXT,
}
_PARSERS = {
    packets.STATUS: packets.parse_status,
    packets.INFO: packets.parse_info,
    packets.STARTED: packets.parse_started,
}


class Nonsense(Exception):
    """A peer said something it must not say."""


class Cursor:
    """Where a reader is in the session's output, so that it gets every byte once whatever connection brings it.

    `at` is the offset of the next byte, or `SAFE_MARK` or `END` as long as only the peer knows."""

    def __init__(self, at: int) -> None:
        self.at = at

    def __repr__(self) -> str:
        return f"<Cursor at {self.at}>"

    @property
    def known(self) -> bool:
        return self.at >= 0

    def welcome(self, payload: bytes) -> None:
        """Take a WELCOME: the peer serves an offset beyond its end from its end."""
        try:
            protocol, _, _, _, start, end, _ = packets.parse_welcome(payload)
        except packets.Malformed:
            raise Nonsense("a WELCOME of a wrong length") from None
        if not packets.OLDEST_PROTOCOL <= protocol <= packets.PROTOCOL:
            raise Nonsense(f"protocol {protocol}; this program speaks {packets.PROTOCOL}")
        if not start <= end <= _LARGEST:
            raise Nonsense(f"a recording from {start} to {end}")
        if self.at == packets.END:
            self.at = end

    def first(self, payload: bytes) -> None:
        """Take the WELCOME of the first connection."""
        self.welcome(payload)
        if self.known:
            self.at = min(self.at, packets.parse_welcome(payload)[5])

    def take(self, kind: int, payload: bytes) -> list[Packet]:
        """What is to be passed on of one packet; nothing of what was there before."""
        if kind == packets.OUTPUT:
            return self._output(payload)
        if kind == packets.GAP:
            return self._gap(payload)
        checked(kind, payload)
        return [(kind, payload)]

    def _output(self, payload: bytes) -> list[Packet]:
        if len(payload) < 9:
            raise Nonsense("an OUTPUT without an offset")
        offset, stream, data = packets.parse_output(payload)
        end = offset + len(data)
        if stream > packets.PREAMBLE or end > _LARGEST:
            raise Nonsense(f"output of stream {stream} at {offset}")
        if stream == packets.PREAMBLE:
            if self.known:
                return []  # the reader has begun already
            self.at = offset
            return [(packets.OUTPUT, payload)]
        found: list[Packet] = []
        if self.known:
            if end <= self.at or not data:
                return []
            if offset > self.at:
                found.append(_packet(packets.gap(self.at, offset)))
            elif offset < self.at:
                payload = packets.output(self.at, stream, data[self.at - offset :])[5:]
        self.at = end
        return [*found, (packets.OUTPUT, payload)]

    def _gap(self, payload: bytes) -> list[Packet]:
        try:
            start, until = packets.parse_gap(payload)
        except packets.Malformed:
            raise Nonsense("a GAP of a wrong length") from None
        if not start <= until <= _LARGEST:
            raise Nonsense(f"a gap from {start} to {until}")
        if until <= self.at or start == until:
            return []  # nothing new, or a heartbeat
        start = self.at if self.known else start
        self.at = until
        return [_packet(packets.gap(start, until))]


def checked(kind: int, payload: bytes) -> None:
    """A packet of a session that is neither output nor gap."""
    if kind not in _MOST and kind not in _PARSERS:
        raise Nonsense(f"a packet 0x{kind:02x}")
    if len(payload) > _MOST.get(kind, 64) or (kind == packets.ACK and not payload):
        raise Nonsense(f"a packet 0x{kind:02x} of {len(payload)} bytes")
    if kind == packets.STATUS and len(payload) < 8:
        raise Nonsense("a STATUS without a time")
    parse = _PARSERS.get(kind)
    if parse is not None:
        try:
            parse(payload)
        except packets.Malformed:
            raise Nonsense(f"a packet 0x{kind:02x} of {len(payload)} bytes") from None


def one_packet(message: bytes | str) -> Packet:
    """A WebSocket message is exactly one packet."""
    if isinstance(message, str):
        raise Nonsense("a text message")
    try:
        kind, length = struct.unpack_from(">BI", message)
    except struct.error:
        raise Nonsense("half a packet") from None
    if length > packets.MAX_PAYLOAD or len(message) != 5 + length:
        raise Nonsense("a message that is not one packet")
    return kind, message[5:]


def inspection(told: Any) -> Inspection:
    """`InspectionJson` as the model has it."""
    fields = _object(told)
    start, offset = _number(fields, "start"), _number(fields, "offset")
    if start > offset:
        raise Nonsense(f"a recording from {start} to {offset}")
    return Inspection(
        alive=_flag(fields, "alive"),
        pid=_number(fields, "pid"),
        started_at=_time(fields, "started_at"),
        last_output_at=_time(fields, "last_output_at"),
        offset=offset,
        status=_status(fields),
        cols=_number(fields, "cols", 0xFFFF),
        rows=_number(fields, "rows", 0xFFFF),
        start=start,
        transcript=None if fields.get("transcript") is None else _number(fields, "transcript"),
    )


def sent(told: Any) -> tuple[bool, str]:
    """`SendJson`: delivered?, else why not."""
    fields = _object(told)
    return _text(fields, "result") == "delivered", _text(fields, "reason")


def answered(told: Any) -> tuple[str, str]:
    """`SendJson`: what became of an answer, and why."""
    fields = _object(told)
    result = _text(fields, "result")
    if result not in ("delivered", "queued", "refused"):
        raise Nonsense("no such result")
    return result, _text(fields, "reason")


def ticket(told: Any) -> str:
    """The ticket of an `AttachJson`."""
    found = _text(_object(told), "ticket", 256)
    if not found or not all(character.isalnum() or character in "-_" for character in found):
        raise Nonsense("no ticket")
    return found


def _status(fields: Mapping[str, Any]) -> Status | None:
    activity = _text(fields, "activity")
    if not activity:
        return None
    try:
        said = Activity(activity)
    except ValueError:
        raise Nonsense(f"the activity {activity[:40]!r}") from None
    source, rule = _text(fields, "source", 40), _text(fields, "rule", 40)
    return Status(said, source, rule, _number(fields, "since"), _text(fields, "text"))


def _object(told: Any) -> Mapping[str, Any]:
    if not isinstance(told, dict):
        raise Nonsense("an answer that is no object")
    return told


def _number(fields: Mapping[str, Any], name: str, most: int = _LARGEST) -> int:
    found = fields.get(name)
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= most:
        raise Nonsense(f"no {name}")
    return found


def _time(fields: Mapping[str, Any], name: str) -> int | None:
    return None if fields.get(name) is None else _number(fields, name)


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    found = fields.get(name)
    if not isinstance(found, bool):
        raise Nonsense(f"no {name}")
    return found


def _text(fields: Mapping[str, Any], name: str, most: int = _MOST_TEXT) -> str:
    found = fields.get(name)
    if not isinstance(found, str) or len(found) > most:
        raise Nonsense(f"no {name}")
    return found


def _packet(encoded: bytes) -> Packet:
    return encoded[0], encoded[5:]

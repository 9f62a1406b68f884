"""HTTP/1.1 over a Unix socket, just enough of it: one request at a time, answers by length, chunked or until the end.

Part of the light client: no http.client (30 ms), no asyncio.
"""

from __future__ import annotations

import _socket as socket  # what is used of it, without the 3 ms of the module around it
import json
import select

from lite import errors
from lite.errors import NoSupervisor, QuarterdeckError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CHUNK = 64 * 1024
_MAX_HEAD = 64 * 1024
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

HINT = "qd up starts one"


class Disconnected(Exception):
    """The peer went away; `unsent`: it cannot have taken the request."""

    def __init__(self, message: str, *, unsent: bool = False) -> None:
        super().__init__(message)
        self.unsent = unsent


class Connection:
    """One connection. After an answer was read to its end, and unless `closing`, it serves another request.

    `send` and reading raise `Disconnected`, and `TimeoutError` when nothing moved for the socket's time-out.
    """

    def __init__(self, path: str, timeout: float | None) -> None:
        """Raises `NoSupervisor` when nothing listens."""
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sock.settimeout(timeout)
        self._buffer = b""
        self._left: int | None = 0  # bytes of a body by length; None: chunked or until the end
        self._chunked = False
        self.closing = False
        try:
            self._sock.connect(path)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
            self._sock.close()
            raise NoSupervisor(f"no supervisor answers on {path}", hint=HINT) from error
        except TimeoutError:
            self._sock.close()
            raise
        except OSError as error:
            self._sock.close()
            raise NoSupervisor(f"cannot reach the supervisor: {error.strerror or error}", place=path) from error

    def close(self) -> None:
        self._sock.close()

    def abort(self) -> None:
        """For another thread: whoever reads or writes gets `Disconnected`."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is closed already

    def settimeout(self, seconds: float | None) -> None:
        self._sock.settimeout(seconds)

    @property
    def stale(self) -> bool:
        """Did the peer close (or say something unasked for) while nothing was going on?"""
        if self._buffer or self.closing:
            return True
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(0))

    def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> None:
        head = [f"{method} {target} HTTP/1.1", "Host: quarterdeck"]
        head += [f"{name}: {value}" for name, value in headers.items()]
        if body or method != "GET":
            head.append(f"Content-Length: {len(body)}")
        try:
            self._sock.sendall("\r\n".join(head).encode("ascii") + b"\r\n\r\n" + body)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Disconnected("the supervisor closed the connection", unsent=True) from error

    def answer(self) -> tuple[int, dict[str, str]]:
        """The status and the headers, names in lower case."""
        while True:
            status = _number(self._line().partition(" ")[2][:3], 10)
            headers: dict[str, str] = {}
            while line := self._line():
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            if status >= 200:
                break
        self._chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        length = headers.get("content-length")
        self._left = int(length) if length is not None and not self._chunked else None
        if status in (204, 304):
            self._left, self._chunked = 0, False
        self.closing = headers.get("connection", "").lower() == "close" or (self._left is None and not self._chunked)
        return status, headers

    def body(self) -> Iterator[bytes]:
        """The body in pieces as they arrive."""
        if self._chunked:
            yield from self._chunks()
        elif self._left is None:
            while data := self._some(_CHUNK, eof=True):
                yield data
        else:
            while self._left:
                data = self._some(min(self._left, _CHUNK))
                self._left -= len(data)
                yield data

    def _chunks(self) -> Iterator[bytes]:
        while size := _number(self._line().partition(";")[0], 16):
            while size:
                data = self._some(min(size, _CHUNK))
                size -= len(data)
                yield data
            self._line()
        while self._line():
            pass
        self._chunked, self._left = False, 0

    def _line(self) -> str:
        while b"\n" not in self._buffer:
            if len(self._buffer) > _MAX_HEAD:
                raise Disconnected("an endless header line")
            self._buffer += self._recv()
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.rstrip(b"\r").decode("latin-1")

    def _some(self, most: int, *, eof: bool = False) -> bytes:
        if not self._buffer:
            self._buffer = self._recv(eof=eof)
        data, self._buffer = self._buffer[:most], self._buffer[most:]
        return data

    def _recv(self, *, eof: bool = False) -> bytes:
        try:
            data = self._sock.recv(_CHUNK)
        except ConnectionResetError:
            data = b""
            eof = False
        if not data and not eof:
            raise Disconnected("the supervisor closed the connection")
        return data


def _number(text: str, base: int) -> int:
    try:
        return int(text, base)
    except ValueError:
        raise Disconnected("something else than a supervisor spoke") from None


def rebuilt(status: int, content: bytes) -> QuarterdeckError:
    """The error in an answer's body, as the class of `lite.errors` with its code."""
    try:
        told = json.loads(content)["error"]
        code, message = str(told["code"]), str(told["message"])
    except (ValueError, KeyError, TypeError):
        return QuarterdeckError(f"the supervisor answered with status {status}", hint="qd doctor")
    kind = _kinds().get(code) or (errors.UsageError if 400 <= status < 500 else QuarterdeckError)
    return kind(message, hint=str(told.get("hint", "")), place=str(told.get("place", "")))


def _kinds() -> dict[str, type[QuarterdeckError]]:
    return {
        kind.code: kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, QuarterdeckError)
    }


def quote(text: str) -> str:
    """Percent-encode one segment of a path or one value of a query, slashes too."""
    return "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in text.encode("utf-8", "surrogateescape"))


def target(path: str, query: Mapping[str, object]) -> str:
    """`path?query`; "" and None are left out, True is `true`, a list or tuple is repeated."""
    pairs: list[str] = []
    for name, value in query.items():
        values = value if isinstance(value, (list, tuple)) else (value,)
        for one in values:
            if one is None or one == "":
                continue
            text = ("true" if one else "false") if isinstance(one, bool) else str(one)
            pairs.append(f"{name}={quote(text)}")
    return f"{path}?{'&'.join(pairs)}" if pairs else path

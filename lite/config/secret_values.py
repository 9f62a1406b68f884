"""From where a secret is to what it is, on the machine that needs it. Values are kept by nobody but a command's answer,
and no message repeats one."""

from __future__ import annotations

import asyncio
import os
import shlex
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from lite.aio.programs import ask
from lite.errors import SecretUnavailable
from lite.model.settings import Secret

MAX_SECRET = 16 << 10  # bytes
COMMAND_SECONDS = 10.0


class SecretValues:
    """Of one process. A command's answer is kept until its `ttl_ms` is over (for the process's life without one)."""

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        seconds: float = COMMAND_SECONDS,
    ) -> None:
        self._environ = os.environ if environ is None else environ
        self._clock, self._seconds = clock, seconds
        self._kept: dict[Secret, tuple[float, str]] = {}  # of commands: when asked, what it said
        self._asking: dict[Secret, asyncio.Lock] = {}
        self._failed: dict[Secret, str] = {}  # of commands: why the last try brought nothing

    def __repr__(self) -> str:
        return f"<SecretValues, {len(self._kept)} kept>"

    async def value(self, secret: Secret) -> str:
        """Raises `SecretUnavailable` naming the source."""
        if not secret.command:
            return await asyncio.to_thread(self._read, secret)
        async with self._asking.setdefault(secret, asyncio.Lock()):
            kept = self._kept.get(secret)
            if kept is not None and (secret.ttl_ms is None or (self._clock() - kept[0]) * 1000 < secret.ttl_ms):
                return kept[1]
            asked = self._clock()
            try:
                found = _checked(await _output(secret.command, self._seconds), secret)
            except SecretUnavailable as error:
                self._failed[secret] = error.message
                raise
            self._failed.pop(secret, None)
            self._kept[secret] = asked, found
            return found

    def problem(self, secret: Secret) -> str:
        """Why it cannot be had, as far as that is known without running a command; "" when nothing is known."""
        if secret.command:
            return self._failed.get(secret, "")
        try:
            self._read(secret)
        except SecretUnavailable as error:
            return error.message
        return ""

    def _read(self, secret: Secret) -> str:
        if secret.env:
            value = self._environ.get(secret.env, "")
            if not value:
                raise _unavailable(secret, "the variable is not set", f"export {secret.env}, then start again")
            return _checked(os.fsencode(value), secret)
        return _checked(_contents(secret), secret)


def source(secret: Secret) -> str:
    """Where it is, in words."""
    if secret.command:
        return f"command {Path(secret.command[0]).name}"
    return f"env {secret.env}" if secret.env else f"file {secret.file}"


def _contents(secret: Secret) -> bytes:
    path = secret.file
    try:
        # a FIFO would be waited for and a device never end
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123
            if os.fstat(file.fileno()).st_mode & (stat.S_IROTH | stat.S_IWOTH):
                hint = f"chmod 600 {shlex.quote(path)}"
                raise _unavailable(secret, f"everybody on this machine may read or write it ({hint})", hint)
            return file.read(MAX_SECRET + 3) or b""
    except OSError as error:
        raise _unavailable(secret, f"cannot be read: {error.strerror}") from None


async def _output(command: tuple[str, ...], seconds: float) -> bytes:
    secret = Secret(command=command)
    try:
        answer = await ask(command, seconds=seconds, most=MAX_SECRET + 2)
    except TimeoutError:
        raise _unavailable(secret, f"said nothing within {seconds:g} s") from None
    except OSError as error:
        raise _unavailable(secret, f"cannot be run: {error.strerror}") from None
    if answer.code != 0 and len(answer.output) <= MAX_SECRET + 2:
        raise _unavailable(secret, f"ended with exit code {answer.code}", "run it by hand")
    return answer.output


def _checked(data: bytes, secret: Secret) -> str:
    data = data.removesuffix(b"\n").removesuffix(b"\r")
    if not data.strip():
        raise _unavailable(secret, "it is empty")
    if len(data) > MAX_SECRET:
        raise _unavailable(secret, f"it is longer than {MAX_SECRET >> 10} KiB")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise _unavailable(secret, "it is not UTF-8 text")
    return text


def _unavailable(secret: Secret, why: str, hint: str = "") -> SecretUnavailable:
    return SecretUnavailable(f"the secret ({source(secret)}) cannot be had: {why}", hint=hint)

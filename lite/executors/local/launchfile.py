"""What a holder must know to start its program: written by the executor, read and removed by the holder.

Fields end with a NUL, which neither arguments nor environments can hold; their number comes first, the bytes for
stdin last. Not JSON: its parser would be a third of a holder's memory.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

NAME = "launch"
_VERSION, _WITH_SECRETS = b"1", b"2"  # a nursery that knows no secrets refuses to start what has some


class LaunchFile(NamedTuple):
    """`stdio` and `stdin` as in `providers.base.Launch`, but for a file `stdin` is its path; `env` is complete, in
    bytes: the holder only hands it on. `needles` is what must not be seen in what the program prints."""

    session: str
    home: str
    token: int
    cwd: str
    cols: int
    rows: int
    cap_bytes: int
    record: bool
    stdio: str
    stdin: str
    argv: Sequence[str]
    env: Mapping[bytes, bytes]
    stdin_data: bytes
    needles: Sequence[bytes] = ()


def write_launch(directory: str, launch: LaunchFile) -> None:
    """Raises OSError; ValueError for a NUL in an argument or in the environment."""
    fixed = [*(str(field) for field in launch[:7]), "1" if launch.record else "", launch.stdio, launch.stdin]
    words = [os.fsencode(field) for field in (*fixed, str(len(launch.argv)), *launch.argv)]
    variables = [key + b"=" + value for key, value in launch.env.items()]
    fields = [*words, *variables, *launch.needles]
    if any(b"\0" in field for field in fields):
        raise ValueError("a NUL character in an argument or in the environment")
    head = b"".join(field + b"\0" for field in fields)
    path = f"{directory}/{NAME}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        version = _WITH_SECRETS + b"\0%d" % len(launch.needles) if launch.needles else _VERSION
        file.write(version + b"\0%d\0" % len(fields) + head + launch.stdin_data)


def take_launch(directory: str) -> LaunchFile:
    """Read and remove it; only one holder can. Raises OSError, ValueError when it is of another version."""
    taken = f"{directory}/{NAME}.taken"
    os.rename(f"{directory}/{NAME}", taken)
    with open(taken, "rb") as file:
        data = file.read()
    os.unlink(taken)
    version, _, rest = data.partition(b"\0")
    hidden = b"0"
    if version == _WITH_SECRETS:
        hidden, _, rest = rest.partition(b"\0")
    elif version != _VERSION:
        raise ValueError(f"launch file of version {version!r}")
    count, _, rest = rest.partition(b"\0")
    *raw, stdin_data = rest.split(b"\0", int(count))
    argc, needles = int(raw[10]), len(raw) - int(hidden)
    fields = [os.fsdecode(field) for field in raw[: 11 + argc]]
    return LaunchFile(
        session=fields[0],
        home=fields[1],
        token=int(fields[2]),
        cwd=fields[3],
        cols=int(fields[4]),
        rows=int(fields[5]),
        cap_bytes=int(fields[6]),
        record=bool(fields[7]),
        stdio=fields[8],
        stdin=fields[9],
        argv=fields[11:],
        env=dict(field.partition(b"=")[::2] for field in raw[11 + argc : needles]),
        stdin_data=stdin_data,
        needles=raw[needles:],
    )


def reclaim_launch(directory: str) -> bool:
    """True when no holder has taken it nor, if one was forked before, ever will."""
    path, kept = f"{directory}/{NAME}", f"{directory}/{NAME}.kept"
    try:
        os.rename(path, kept)
    except FileNotFoundError:
        return False
    os.rename(kept, path)
    return True


def remove_launch(directory: str) -> None:
    """Also what somebody left who died while taking it: there may be secrets in it."""
    for name in (NAME, f"{NAME}.taken", f"{NAME}.kept"):
        try:
            os.unlink(f"{directory}/{name}")
        except FileNotFoundError:
            pass

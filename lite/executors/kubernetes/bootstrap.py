"""What stands between a pod and the program in it: a script of sh (`bootstrap.sh`), what it is told, what it says.

It prints `READY`, reads one GO from its stdin (`go`), prints `begin(mark)`, runs the program, and prints an end mark
with what the program left in `$QD_OUTPUT`. So secrets, prompts and other files are never in the pod's spec, and never
in its log. What it prints of its own are APC strings, which a terminal does not show, each with its line's end, since
the log of a container has whole lines only. The mark is secret from the program, so that it can imitate none of them.

Whoever types GO sends nothing before READY, and nothing else before the begin mark: a shell may read ahead. A second
READY says that what came was not whole: then GO is sent again. Standard library only: the bridge imports it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from lite.errors import ExecutorError, InvalidTask

TERMINATION_LOG = "/dev/termination-log"
TERMINATION_VARIABLE = "QD_TERMINATION_LOG"
MAX_OUTPUT = 64 << 10  # bytes of $QD_OUTPUT that come home; one more shows that it was too large

READY: Final = b"\x1b_qd;ready\x1b\\\n"
_STOP = b"\x1b\\"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_SHELL_OWN = frozenset(
    {
        "PATH",
        "IFS",
        "LC_ALL",
        "OPTIND",
        "OPTARG",
        "PPID",
        "PS4",
        "LINENO",
        "UID",
        "EUID",
        "GROUPS",
        "SHELLOPTS",
        "BASHOPTS",
    }
)
_MARK = re.compile(r"[0-9a-f]{32}\Z")
_SIGNALS = range(129, 193)  # exit codes by which sh tells of signals
_MAX_TERMINATION = 4096


def _script() -> str:
    text = (Path(__file__).parent / "bootstrap.sh").read_text(encoding="utf-8")
    return "".join(line for line in text.splitlines(keepends=True) if line.strip() and not line.startswith("#"))


SCRIPT: Final = _script()


def new_mark() -> str:
    """One per attempt."""
    return secrets.token_hex(16)


def begin(mark: str) -> bytes:
    """The program's first byte is the one after this; on a terminal its end is CR LF."""
    return f"\x1b_qd;begin;{mark}\x1b\\\n".encode()


def end_opening(mark: str) -> bytes:
    """How the end mark begins: the first byte that is not the program's."""
    return f"\x1b_qd;end;{mark};".encode()


class End(NamedTuple):
    """`code` None: the shell that ran the program is gone. `output`: what was in `$QD_OUTPUT`, at most `MAX_OUTPUT` + 1
    bytes; None: there was nothing, or the image has no base64."""

    code: int | None
    output: bytes | None


def parse_end(data: bytes, mark: str) -> End | None:
    """The end mark in `data`; None while it is not whole. Line ends in it do not matter."""
    opening = end_opening(mark)
    at = data.find(opening)
    stop = data.find(_STOP, at + len(opening))
    if at < 0 or stop < 0:
        return None
    code, _, text = data[at + len(opening) : stop].partition(b";")
    try:
        output = base64.b64decode(b"".join(text.split()), validate=True) if text.strip() else None
    except binascii.Error:
        output = None  # something the program left running wrote in between
    return End(int(code) if code.isdigit() and len(code) < 4 else None, output)


class Ended(NamedTuple):
    """What a container's termination message says. `launch`: why there was no program; `lost`: why nobody knows how
    it ended, or that none was started; both "" when it ran."""

    code: int
    signal: int | None = None
    launch: str = ""
    lost: str = ""


def parse_termination(text: str) -> Ended | None:
    """None when it is none of ours."""
    try:
        said = json.loads(text[:_MAX_TERMINATION])
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or said.get("version") != 1 or not _small(said.get("code")):
        return None
    signal = said.get("signal")
    return Ended(
        said["code"], signal if _small(signal) else None, str(said.get("launch", "")), str(said.get("lost", ""))
    )


def _small(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 256


class InFolder(NamedTuple):
    """A path in the session's folder, wherever the pod has it."""

    name: str


def go(
    mark: str,
    *,
    env: Mapping[str, str | InFolder] | None = None,
    argv: Sequence[str] | None = None,
    cwd: str = "",
    cwd_needed: bool = False,
    path: str = "",
    stdin: str | InFolder = "",
    files: Mapping[str, bytes] | None = None,
    size: tuple[int, int] | None = None,
) -> bytes:
    """What to type after READY. `env` is added to the pod's own; `argv` None: the one in the pod's spec; `path` is the
    program's PATH; `cwd` is where it runs, the image's own directory when it is missing and not needed; `stdin` "" is
    the container's; `files` go into the session's folder; `size` is columns and rows.

    Raises `InvalidTask` for what no shell can be told: a NUL outside files, a name it keeps to itself."""
    if not _MARK.match(mark):
        raise ExecutorError("this is not a mark")
    lines = [b"umask 077" if files else b"", *_files(files or {}), b"umask $_qd_umask" if files else b""]
    if cwd:
        lines.append(b"_qd_cwd=" + quote(cwd) + (b" _qd_cwd_needed=1" if cwd_needed else b""))
    if path:
        lines.append(b"_qd_program_path=" + quote(path))
    if stdin:
        lines.append(b"_qd_in=" + _value(stdin))
    if size is not None:
        lines.append(b"_qd_cols=%d _qd_rows=%d" % size)
    if argv is not None:
        lines.append(b"set -- " + b" ".join(map(quote, argv)))
    for name, value in (env or {}).items():
        if not _VARIABLE.match(name) or name in _SHELL_OWN or name.startswith("_qd_"):
            told = f"a variable named {name!r} cannot be handed to a shell"
            raise InvalidTask(told, hint="give it another name", place=f"env.{name}")
        lines.append(b"export " + name.encode() + b"=" + _value(value))
    # one line, after one that spoils and ends what another may have left behind
    return b"#\nGO %s %s #%s\n" % (mark.encode(), b"; ".join([*filter(None, lines), b":"]), mark.encode())


def quote(text: str | bytes) -> bytes:
    """As one word of sh on one line, whatever is in it. Raises `InvalidTask` for a NUL."""
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    if b"\0" in data:
        raise InvalidTask("a NUL character in an argument or in the environment")
    return b"'" + data.replace(b"'", b"'\\''").replace(b"\n", b"'\"$_qd_line\"'") + b"'"


def _value(value: str | InFolder) -> bytes:
    return b'"$_qd_dir"/' + quote(value.name) if isinstance(value, InFolder) else quote(value)


def _files(files: Mapping[str, bytes]) -> list[bytes]:
    lines = []
    for name, content in files.items():
        parts = name.split("/")
        if any(part in ("", ".", "..") for part in parts):
            raise ExecutorError(f"a launch cannot write {name!r}: it has to stay in the session's folder")
        path = _value(InFolder(name))
        if len(parts) > 1:
            lines.append(b"mkdir -p " + _value(InFolder("/".join(parts[:-1]))))
        lines.append(b"{ " + b"; ".join(_printed(content)) + b"; } >" + path)
    return lines


def _printed(content: bytes) -> list[bytes]:
    """Commands that print it; a shell's text holds no NUL."""
    commands = []
    for at, piece in enumerate(re.split(rb"(\0+)", content)):
        if at % 2:
            commands.append(b"printf '" + b"\\000" * len(piece) + b"'")
        elif piece:
            commands.append(b"printf %s " + quote(piece))
    return commands or [b":"]

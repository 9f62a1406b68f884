"""`attach` and `send`."""

from __future__ import annotations

import os
import sys

from lite.cli.commands import Command
from lite.errors import NotSupported, SessionRefused, UsageError
from lite.terminal.keys import DEFAULT, DetachKey
from lite.terminal.sanitize import safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from argparse import ArgumentParser, Namespace

    from lite.cli.context import Context
    from lite.terminal.pump import Ending


def _attach_options(parser: ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="task id, unique prefix or run/name")
    parser.add_argument("--read-only", action="store_true", help="watch: send no keys and leave the size alone")
    parser.add_argument("--detach-key", metavar="KEY", help=f"default: QD_DETACH_KEY, the configuration, {DEFAULT}")


def _attach(context: Context, arguments: Namespace) -> int:
    control = not arguments.read_only
    terminal = sys.stdin.isatty()
    if control and not (terminal and sys.stdout.isatty()):
        raise UsageError(
            "attach needs a terminal on stdin and stdout", hint="qd send ID TEXT types a line, qd logs -f ID follows"
        )
    chosen = arguments.detach_key or os.environ.get("QD_DETACH_KEY")
    if chosen:
        DetachKey(chosen)  # refused before anything is asked of the supervisor
    client = context.client()
    offer = client.attach(arguments.id, control=control)
    if not offer["address"]:
        raise NotSupported("this session lives on another machine; attaching to it is not supported yet")
    key = DetachKey(chosen or str(client.config()["settings"].get("detach_key") or DEFAULT))
    client.close()
    from lite.cli.signals import signals
    from lite.terminal.pump import Pump
    from lite.terminal.wake import Wake

    with _connect(offer["address"], arguments.id) as sock, Wake() as wake:
        leave = key.name if terminal else "ctrl-c"
        context.note(f"attached to {offer['session']}; {leave} leaves it, the program goes on")
        sys.stderr.flush()
        pump = Pump(sock, stdin=0 if terminal else None, stdout=1, key=key, control=control, wake=wake)
        with signals(wake):
            ending = pump.run()
    return _tell(context, ending, arguments.id)


def _connect(address: str, ref: str) -> socket.socket:
    import socket

    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(address.removeprefix("unix:"))
    except OSError as error:
        sock.close()
        raise SessionRefused(f"the session does not answer: {error.strerror}", hint=f"qd logs {ref}") from error
    return sock


def _tell(context: Context, ending: Ending, ref: str) -> int:
    """Say how it ended, on a line of its own."""
    if ending.how == "detached":
        context.note(f"detached; qd attach {ref} comes back")
        return 0
    if ending.how == "ended":
        context.note(f"the session has ended{_outcome(ending.text)}")
        return 0
    if ending.how == "refused":
        raise SessionRefused(ending.text or "the session refused", hint=f"qd show {ref}")
    if ending.how == "lost":
        raise SessionRefused("the connection to the session was lost", hint=f"qd show {ref}")
    return 128 + ending.signum


def _outcome(text: str) -> str:
    import json

    try:
        told = json.loads(text)
    except ValueError:
        return ""
    if not isinstance(told, dict):
        return ""
    if told.get("signal"):
        return f": killed by signal {told['signal']}"
    return f": exit code {told['exit_code']}" if isinstance(told.get("exit_code"), int) else ""


def _send_options(parser: ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="task id, unique prefix or run/name")
    parser.add_argument("text", metavar="TEXT", help='what to type; "-" reads stdin as it is')
    parser.add_argument("--no-enter", action="store_true", help="do not press Enter after it")


def _send(context: Context, arguments: Namespace) -> int:
    if arguments.text == "-":
        data = sys.stdin.buffer.read()
    else:
        data = arguments.text.encode("utf-8", "surrogateescape") + (b"" if arguments.no_enter else b"\r")
    if not data:
        raise UsageError("nothing to send", place="TEXT")
    answer = context.client().send(arguments.id, data)
    if context.json:
        context.emit(answer)
    if answer["result"] == "refused":
        if not context.json:
            raise SessionRefused(answer.get("reason") or "refused", place=arguments.id)
        return 1
    if not context.json:
        print(safe(answer["result"]))
    return 0


COMMANDS = {
    "attach": Command(
        _attach_options,
        _attach,
        """
qd attach 01jd8                         the program's own screen; ctrl-] leaves it
qd attach --detach-key ctrl-q 01jd8     another key; QD_DETACH_KEY sets it for good
qd attach --read-only 01jd8             only watch""",
    ),
    "send": Command(
        _send_options,
        _send,
        """
qd send 01jd8 yes             type yes and Enter
qd send --no-enter 01jd8 y    one key
printf '\\003' | qd send 01jd8 -    ctrl-c""",
    ),
}

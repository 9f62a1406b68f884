"""`up`, `down`, `homes`, `version`."""

from __future__ import annotations

import os
import sys
import time

from lite import __version__
from lite.cli.commands import Command
from lite.errors import QuarterdeckError
from lite.terminal.sanitize import safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from lite.cli.context import Context

STOP_SECONDS = 60.0


def _up_options(parser: ArgumentParser) -> None:
    parser.add_argument("-d", "--detach", action="store_true", help="return as soon as it is ready")
    parser.add_argument(
        "--role",
        choices=("all", "orchestrator", "worker"),
        default="all",
        help="all; or, on a backend that many share, only route and place, or only run",
    )
    parser.add_argument("--labels", action="append", default=[], metavar="K=V,..", help="of this worker, for selectors")
    parser.add_argument("--slots", metavar="N", help="sessions running at once")
    parser.add_argument("--name", metavar="NAME", help="the beginning of this worker's id")
    parser.add_argument(
        "--listen", metavar="HOST:PORT", help="the control API for other machines (unencrypted; they need its token)"
    )
    parser.add_argument("--switch", action="store_true", help="to another backend, whatever still runs on the last one")


def _told(arguments: Namespace) -> list[str]:
    """What the supervisor is told, as options of its own."""
    told = [] if arguments.role == "all" else [f"--role={arguments.role}"]
    told += [f"--labels={labels}" for labels in arguments.labels]
    for name in ("slots", "name", "listen"):
        value = getattr(arguments, name)
        told += [] if value is None else [f"--{name}={value}"]
    return told + (["--switch"] if arguments.switch else [])


def _up(context: Context, arguments: Namespace) -> int:
    from lite.cli.starting import ensure_supervisor, run_supervisor

    told = _told(arguments)

    def ready(started: bool) -> None:
        _banner(context, started)
        if told and not started:
            options = ", ".join(option.partition("=")[0] for option in told)
            context.note(f"it runs already: {options} not looked at (qd down, then again)")

    if arguments.detach:
        ready(ensure_supervisor(context.home, told))
        return 0
    return run_supervisor(context.home, ready, told)


def _banner(context: Context, started: bool) -> None:
    status: dict[str, Any] = dict(context.client().status())
    for warning in status.get("backend_warnings", ()):
        context.note(f"WARNING: {warning}")
    if context.json:
        context.emit({**status, "started": started}, flush=True)
        return
    home = context.home
    state = "is up" if started else "runs already"
    lines = [
        f"Quarterdeck {status['version']}: the supervisor (pid {status['pid']}) of {home.root} {state}",
        f"  durable     {status['backend']}",
        *_part(status),
        f"  recordings  {home.sessions}",
        f"  socket      {home.socket}",
        f"  config      {status.get('config_path') or 'none, defaults apply'}",
        f"  log         {home.log}",
    ]
    if status.get("config_error"):
        lines.append(f"  REJECTED    {status['config_error']}")
    lines.append("qd ls shows the fleet, qd down stops it; killed or crashed, nothing is lost: qd up goes on")
    print("\n".join(safe(line) for line in lines), flush=True)


def _part(status: dict[str, Any]) -> list[str]:
    """What it does, where that is not everything."""
    role = status.get("role", "all")
    if role == "all":
        return []
    does = "orchestrator: routes and places" if role == "orchestrator" else f"worker {status['worker']}"
    return [f"  role        {does}"]


def _down_options(parser: ArgumentParser) -> None:
    parser.add_argument("--keep-sessions", action="store_true", help="let running programs go on")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def _down(context: Context, arguments: Namespace) -> int:
    client = context.client()
    status = client.status()
    running = client.tasks(state=["running"], worker=status["worker"])
    asks = running and not (arguments.keep_sessions or arguments.yes or context.json)
    if asks and sys.stdin.isatty() and sys.stderr.isatty():
        print(
            f"{len(running)} running task(s) will be stopped and queue again at the next qd up. Stop? [y/N] ",
            end="",
            file=sys.stderr,
            flush=True,
        )
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            context.note("left running")
            return 1
    client.shutdown(keep_sessions=arguments.keep_sessions)
    _wait_gone(int(status["pid"]))
    if context.json:
        context.emit({"stopped": status["pid"], "kept": len(running) if arguments.keep_sessions else 0})
    else:
        kept = f", {len(running)} session(s) go on" if arguments.keep_sessions and running else ""
        print(f"stopped{kept}")
    return 0


def _wait_gone(pid: int) -> None:
    """There is no event to wait on for a process that is not our child."""
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        if _is_gone(pid):
            return
        time.sleep(0.02)
    raise QuarterdeckError(f"the supervisor (pid {pid}) is still stopping after {STOP_SECONDS:.0f} s")


def _is_gone(pid: int) -> bool:
    """Also when only its entry is left: in a container process 1 may reap late, or never."""
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 - short commands do without pathlib
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except ProcessLookupError:
        return True
    except OSError:
        return False  # no /proc here


def _homes(context: Context, arguments: Namespace) -> int:
    from lite.api.client import Client
    from lite.home import known_homes

    rows: list[dict[str, Any]] = []
    for home in known_homes():
        row: dict[str, Any] = {"home": str(home.root), "running": False, "pid": None, "current": False}
        row["current"] = home.root == context.home.root
        try:
            with Client(str(home.socket), timeout=1.0) as client:
                status = client.status()
        except QuarterdeckError:
            pass
        else:
            row |= {"running": True, "pid": status["pid"]}
        rows.append(row)
    if context.json:
        context.emit(rows)
        return 0
    if not rows:
        print("no homes yet: qd up makes one")
        return 0
    table = [
        ["*" if row["current"] else "", str(row["home"]), f"up, pid {row['pid']}" if row["running"] else "down"]
        for row in rows
    ]
    context.table(["", "HOME", "SUPERVISOR"], table)
    return 0


def _version(context: Context, arguments: Namespace) -> int:
    python = ".".join(map(str, sys.version_info[:3]))
    if context.json:
        context.emit({"version": __version__, "python": python})
    else:
        print(f"qd {__version__} (Python {python})")
    return 0


def _none(parser: ArgumentParser) -> None:
    """No options of its own."""


COMMANDS = {
    "up": Command(
        _up_options,
        _up,
        """
qd up        in the foreground; ctrl-c stops it, programs go on
qd up -d     detached; returns once it is ready
qd up -d --role worker --slots 8 --labels gpu=1,zone=a   one of many, on a shared backend
qd up -d --role orchestrator                             routes and places, runs nothing
qd up -d --listen 0.0.0.0:7433                           terminals can be reached from other machines
QD_BACKEND=redis://host:6379/0 qd up -d                  another backend than the file's

what was said here holds for this supervisor only and wins over file and environment: say it again at the
next start; qd config show tells which value came from where""",
    ),
    "down": Command(
        _down_options,
        _down,
        """
qd down                   stop; running tasks queue again at the next qd up
qd down --keep-sessions   stop only the supervisor; the next one takes the programs over""",
    ),
    "homes": Command(_none, _homes, "qd homes --json    where this user's fleets live"),
    "version": Command(_none, _version, "qd version --json"),
}

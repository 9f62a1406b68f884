"""What `qd doctor` looks at. Each check returns findings: good, or wrong together with what to do."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from typing import TYPE_CHECKING, NamedTuple

from lite.errors import NoSupervisor, QuarterdeckError
from lite.home import config_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lite.api.client import Client
    from lite.api.messages import StatusJson
    from lite.home import Home

OK, WARNING, ERROR = "ok", "warning", "error"
_SQLITE_SAFE = (3, 51, 3)
_DISK_WARNING, _DISK_ERROR = 1 << 30, 100 << 20  # bytes free


class Finding(NamedTuple):
    """`fix` is empty when there is nothing to do."""

    check: str
    level: str
    message: str
    fix: str = ""


def machine() -> Iterator[Finding]:
    version = sys.version_info
    text = ".".join(map(str, version[:3]))
    if version < (3, 11):
        yield Finding("python", ERROR, text, "Python 3.11 or newer is needed")
    else:
        yield Finding("python", OK, text)
    import sqlite3

    if sqlite3.sqlite_version_info < _SQLITE_SAFE:
        yield Finding(
            "sqlite",
            WARNING,
            f"{sqlite3.sqlite_version} has a bug that several checkpointing connections can meet",
            "nothing to do: Quarterdeck checkpoints from one connection only; open the database with no other program",
        )
    else:
        yield Finding("sqlite", OK, sqlite3.sqlite_version)
    term = os.environ.get("TERM", "")
    if term in ("", "dumb"):
        yield Finding("terminal", WARNING, f"TERM is {term or 'not set'}", "export TERM=xterm-256color for qd attach")
    else:
        yield Finding("terminal", OK, term)


def home_directory(home: Home) -> Iterator[Finding]:
    place = home.root
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK | os.X_OK):
        yield Finding("home", ERROR, f"{home.root} is not writable", f"chown or chmod {place}, or use --home")
        return
    yield Finding("home", OK, f"{home.root}{'' if home.root.exists() else ' (not made yet)'}")
    free = shutil.disk_usage(place).free
    level = ERROR if free < _DISK_ERROR else WARNING if free < _DISK_WARNING else OK
    fix = "" if level == OK else f"make room below {place}; recordings are in {home.sessions}"
    yield Finding("disk", level, f"{free / 1e9:.1f} GB free", fix)
    yield Finding("socket", OK, str(home.socket))


def configuration(home: Home) -> Iterator[Finding]:
    from lite.cli.config import local_settings

    path = config_for(home)
    try:
        settings = local_settings(path)
    except QuarterdeckError as error:
        yield Finding("config", ERROR, str(error), error.hint or f"correct {path}; qd config validate checks it")
        return
    yield Finding("config", OK, f"{path if path.is_file() else 'no file, defaults'}: {len(settings.agents)} agent(s)")
    if settings.backend != "sqlite":
        from lite.config.backend import redis_options

        try:
            redis_options(settings)
        except QuarterdeckError as error:  # a supervisor that runs has an environment of its own
            yield Finding("backend", WARNING, f"cannot be reached from this shell: {error}", error.hint)
    if settings.secrets or any(agent.secrets for agent in settings.agents.values()):
        from lite.cli.secrets import examine

        for one in examine(settings):
            level = WARNING if one.problem else OK
            yield Finding(f"secret {one.name}", level, one.problem or one.source, one.hint)


def plug_ins() -> Iterator[Finding]:
    """Providers of other packages that cannot be used; agents without them run."""
    from providers.registry import Registry

    registry = Registry.with_installed()
    registry.capabilities()
    for name, problem in registry.broken().items():
        yield Finding(f"provider {name}", WARNING, problem, "reinstall or remove the package it comes from")


def supervisor(home: Home, client: Client) -> Iterator[Finding]:
    """Also what a supervisor left behind when none runs."""
    try:
        status = client.status()
    except NoSupervisor:
        yield from _absent(home)
        return
    role = status.get("role", "all")
    doing = "" if role == "all" else f", {role}"
    yield Finding("supervisor", OK, f"pid {status['pid']}, version {status['version']}{doing}")
    yield Finding("backend", OK, status["backend"])
    for warning in status.get("backend_warnings", ()):
        yield Finding("backend", WARNING, warning)
    yield from _services(status, home)
    if role == "orchestrator":
        return  # it runs nothing here
    if not _listens(home.nursery_socket):
        yield Finding(
            "nursery", WARNING, "the nursery does not answer", "it is started again with the next session; see its log"
        )
    else:
        yield Finding("nursery", OK, str(home.nursery_socket))
    for agent in client.agents():
        name = f"agent {agent['name']}"
        if agent["problem"]:
            yield Finding(name, ERROR, agent["problem"], f"install what {agent['provider']} needs, or remove the agent")
        else:
            yield Finding(name, OK, " ".join(filter(None, (agent["provider"], agent["version"], agent["path"]))))


def _services(status: StatusJson, home: Home) -> Iterator[Finding]:
    if status["config_error"]:
        yield Finding(
            "reload", ERROR, status["config_error"], "correct the file; the last good configuration is in force"
        )
    if not status["ready"]:
        yield Finding("ready", WARNING, "it does not take work yet", f"wait a moment; its log is {home.log}")
    for service in status["services"]:
        name = f"service {service['name']}"
        if service["state"] != "running":
            yield Finding(name, ERROR, f"{service['state']}: {service['last_error']}", f"see {home.log}")
        elif service["restarts"]:
            text = f"restarted {service['restarts']} time(s): {service['last_error']}"
            yield Finding(name, WARNING, text, f"see {home.log}")
        else:
            yield Finding(name, OK, "running")


def _absent(home: Home) -> Iterator[Finding]:
    held = _lock_holder(home.lock)
    if held:
        yield Finding(
            "supervisor",
            ERROR,
            f"{held} holds the lock but does not answer",
            f"see {home.log}; end that process, then qd up",
        )
    else:
        yield Finding("supervisor", OK, "none runs; qd up starts one")
    living = _live_sessions(home)
    if living:
        yield Finding("sessions", WARNING, f"{living} session(s) go on without a supervisor", "qd up takes them over")
    yield from _programs(home)


def _programs(home: Home) -> Iterator[Finding]:
    """The agents' programs, looked for by ourselves."""
    from lite.cli.config import local_settings
    from providers.errors import ProviderError
    from providers.registry import Registry

    registry = Registry.with_installed()
    try:
        agents = local_settings(config_for(home)).agents
    except QuarterdeckError:
        return  # told by `configuration`
    for agent in agents.values():
        try:
            wanted = registry.get(agent.provider).capabilities().executable
        except ProviderError as error:
            yield Finding(f"agent {agent.name}", ERROR, error.message, error.hint)
            continue
        found = shutil.which(wanted, path=agent.env.get("PATH") or os.environ.get("PATH")) if wanted else ""
        if found is None:
            yield Finding(
                f"agent {agent.name}", ERROR, f"{wanted} is not on PATH", f"install {wanted}, or remove the agent"
            )
        else:
            yield Finding(f"agent {agent.name}", OK, f"{agent.provider} {found}".rstrip())


def _lock_holder(lock: Path) -> str:
    """Who holds the lock, in words; "" when it is free. Shared and at once let go, so that it keeps nobody out."""
    import fcntl
    import json

    try:
        with lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                try:
                    return f"pid {json.loads(file.read())['pid']}"
                except (ValueError, KeyError, TypeError):
                    return "a starting process"
    except OSError:
        pass
    return ""


def _live_sessions(home: Home) -> int:
    directory = home.session_socket("x").parent
    try:
        return sum(_listens(path) for path in directory.iterdir() if path.suffix == ".sock")
    except OSError:
        return 0


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(2.0)
        try:
            sock.connect(str(path))
        except OSError:
            return False
    return True

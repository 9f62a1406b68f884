"""The one place that knows every concrete class: from a home and its configuration to a supervisor."""

from __future__ import annotations

import secrets
import socket

from lite.backends.sqlite import SqliteBackend
from lite.clock import SystemClock
from lite.config.load import load_settings
from lite.config.plan import load_plan
from lite.engine.context import Context
from lite.engine.supervisor import Supervisor
from lite.errors import NotSupported
from lite.executors.inline import InlineExecutor
from lite.executors.local.executor import LocalExecutor
from lite.home import Home, config_for
from lite.model.settings import Settings
from lite.ports import Backend
from providers.registry import Registry


def build_supervisor(home: Home) -> Supervisor:
    """Raises `ConfigInvalid` or `NotSupported`; opens nothing yet."""
    providers = Registry.with_installed()

    def read_settings() -> Settings:
        path = config_for(home)
        return load_settings(path if path.is_file() else None, providers=providers.names())

    settings = read_settings()
    clock = SystemClock()
    node = socket.gethostname()
    context = Context(
        backend=_backend(home, settings),
        executors={"local": LocalExecutor(home), "inline": InlineExecutor()},
        providers=providers,
        clock=clock,
        settings=settings,
        home=home,
        worker=f"{node.split('.')[0].lower()}-{secrets.token_hex(4)}",
        node=node,
        load_plan=load_plan,
        load_settings=read_settings,
    )
    return Supervisor(context, alone=True)


def _backend(home: Home, settings: Settings) -> Backend:
    if settings.backend != "sqlite":
        raise NotSupported(f"backend {settings.backend!r} is not supported yet", place="backend")
    return SqliteBackend(home.database, synchronous=settings.synchronous)

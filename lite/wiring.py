"""The one place that knows every concrete class: from a home and its configuration to a supervisor."""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lite.clock import SystemClock
from lite.config.address import TLS_SCHEME
from lite.config.load import load_settings
from lite.config.orders import read_order
from lite.config.overrides import Overrides
from lite.config.plan import load_plan
from lite.config.secret_values import SecretValues
from lite.engine.context import Context, Role
from lite.engine.supervisor import Supervisor
from lite.errors import UsageError
from lite.executors.inline import InlineExecutor
from lite.executors.local.executor import LocalExecutor
from lite.home import Home, config_for
from lite.identity import new_worker_id, short_name, worker_id
from lite.model.kubernetes import Kubernetes
from lite.model.settings import Settings
from lite.ports import Backend, Clock, Executor
from lite.switching import check_switch
from lite.workspaces.staging import StagingFolders
from providers.registry import Registry

SQLITE = "sqlite"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Start:
    """How a supervisor is started. `switch`: leave the last backend whatever runs there."""

    role: Role = "all"
    overrides: Overrides = field(default_factory=Overrides)
    switch: bool = False


def build_supervisor(home: Home, start: Start) -> Supervisor:
    """Raises `ConfigInvalid`, `NotSupported` or `UsageError`; opens nothing yet."""
    providers = Registry.with_installed()
    providers.capabilities()  # each is asked for once, and loaded by that
    for name, problem in providers.broken().items():
        log.warning("provider %r is skipped: %s", name, problem)

    def read_settings() -> Settings:
        path = config_for(home)
        names = providers.names()
        return load_settings(path if path.is_file() else None, providers=names, overrides=start.overrides)

    settings = read_settings()
    alone = settings.backend == SQLITE
    if alone and start.role != "all":
        raise UsageError(
            f"--role {start.role} needs a backend that several can share, and this one is SQLite",
            hint="backend: redis://host:6379/0 in the configuration, or QD_BACKEND",
            place=settings.origins.get("backend", "").removeprefix("default"),
        )
    node = socket.gethostname()
    backend, clock = open_backend(home, settings)
    local = LocalExecutor(home)
    context = Context(
        backend=backend,
        executors={"local": local, "inline": InlineExecutor()},
        providers=providers,
        clock=clock,
        settings=settings,
        home=home,
        worker=_worker(home, settings, node),
        node=node,
        load_plan=load_plan,
        load_settings=read_settings,
        read_order=read_order,
        secrets=SecretValues(),
        role=start.role,
        volumes={"local": StagingFolders(_staging(home, settings), node)},
        notes=_notes(settings),
    )
    if settings.kubernetes is not None:
        _use_pods(context, local, alone=alone)
    if not alone:
        _join_others(context)
    return Supervisor(context, alone=alone)


async def leave_last_backend(supervisor: Supervisor, start: Start) -> Sequence[str]:
    """Before the supervisor starts: see `check_switch`."""
    context = supervisor.context
    return await check_switch(context.home, context.settings, open_backend=open_backend, leave=start.switch)


def open_backend(home: Home, settings: Settings) -> tuple[Backend, Clock]:
    """The configured backend, not opened yet, and the time its leases go by. Raises `ConfigInvalid`."""
    if settings.backend == SQLITE:
        from lite.backends.sqlite import SqliteBackend

        return SqliteBackend(home.database, synchronous=settings.synchronous), SystemClock()
    # its client costs 200 ms, which a fleet on one machine need not pay
    from lite.backends.redis import RedisBackend
    from lite.clock import SharedClock
    from lite.config.backend import redis_options

    shared = SharedClock()
    return RedisBackend(redis_options(settings), shared.heard), shared


def _join_others(context: Context) -> None:
    """What only a backend that many share needs."""
    from lite.backends.redis.bridge import RedisBridge
    from lite.config.backend import redis_options
    from lite.peers.http_peers import HttpPeers

    context.bridge = RedisBridge(redis_options(context.settings))
    context.peers = HttpPeers(context.clock)


def _use_pods(context: Context, local: Executor, *, alone: bool) -> None:
    """Tells its pods from others' in the namespace by the fleet: a home's own, or all who share a backend."""
    from lite.executors.kubernetes.executor import KubernetesExecutor
    from lite.executors.kubernetes.staging import StagingClaims

    first = context.settings.kubernetes
    assert first is not None

    def configured(agent: str) -> Kubernetes:
        """As the configuration is now; but that there is a cluster, and which, does not change before a restart."""
        own = context.settings.agents.get(agent)
        return (own.kubernetes if own is not None else None) or context.settings.kubernetes or first

    fleet = worker_id(context.home, "", context.node).rpartition("-")[2] if alone else context.settings.redis.prefix
    executor = KubernetesExecutor(local, context.home, configured, fleet, clock=context.clock)
    context.executors = {**context.executors, executor.name: executor}
    if context.role != "orchestrator":  # which opens no executor, and has no rights in the cluster
        claims = StagingClaims(executor.client, configured(""), fleet=fleet)
        context.volumes = {**context.volumes, executor.name: claims}


def _staging(home: Home, settings: Settings) -> Path:
    return Path(settings.staging.path) if settings.staging and settings.staging.path else home.staging


def _notes(settings: Settings) -> Sequence[str]:
    if settings.backend.startswith(f"{TLS_SCHEME}:") and not settings.redis.verify:
        return ("the certificate of the Redis server is not checked (backend.tls.verify: false)",)
    return ()


def _worker(home: Home, settings: Settings, node: str) -> str:
    """On a shared backend a home's worker stays who it is, so that it takes its own sessions over."""
    if settings.backend == SQLITE:
        return new_worker_id(settings.worker_name or short_name(node))
    return worker_id(home, settings.worker_name, node)

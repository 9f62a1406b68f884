"""The configuration after it was read and checked; the file format lives in `lite.config`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lite.model.kubernetes import Kubernetes
from lite.model.staging import Staging
from providers.base import Mode

SHORTEST_HIDDEN = 8  # bytes; a shorter secret would be found in innocent text


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret is, never what it is: exactly one of `env`, `file` and `command`."""

    env: str = ""  # a variable of the supervisor's environment
    file: str = ""  # a path
    command: tuple[str, ...] = ()  # argv; it prints the value
    ttl_ms: int | None = None  # how long a command's answer is good; None: for the supervisor's life
    hosts: tuple[str, ...] = ()  # a task may send it there in a header; then no task gets it into its environment


@dataclass(frozen=True, slots=True)
class Agent:
    """A configured worker-for-hire."""

    name: str
    provider: str
    roles: tuple[str, ...] = ()
    slots: int | None = None  # most running at once in the fleet
    mode: Mode | None = None  # None: the provider's default
    model: str = ""
    identity: str = ""  # a directory of prompt parts
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Secret | str] = field(default_factory=dict)  # variable -> its own, or one of Settings.secrets
    timeout_ms: int | None = None
    idle_timeout_ms: int | None = None
    retries: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)  # handed to the provider as they are
    limits: Mapping[str, int | None] = field(default_factory=dict)  # wall, idle (ms), steps, retries; None: lifted
    account: str = ""  # "": see `rules.accounts`
    gate: bool = True  # is its account held when its programs say that only somebody's act helps
    kubernetes: Kubernetes | None = None  # whole; None: as the fleet's


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens of a model: read, written, read from a cache."""

    tokens_in: float
    tokens_out: float
    tokens_cached: float


BUILT_IN = (Agent("shell", "shell"), Agent("http", "http"))  # always there, unless configured otherwise


@dataclass(frozen=True, slots=True)
class TriggerRule:
    """`match` is an fnmatch pattern over the trigger's text."""

    match: str
    agent: str


@dataclass(frozen=True, slots=True)
class Routing:
    triggers: tuple[TriggerRule, ...] = ()
    default: str = ""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Back-off before own-failure retry n (1-based): base * factor ** (n-1), at most cap, with jitter."""

    base_ms: int = 1_000
    factor: float = 2.0
    cap_ms: int = 300_000
    jitter: float = 0.2  # +- this share


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """What the configuration says of the Redis server that `Settings.backend` names. Holds no secret: `password` says
    where it is, "env NAME", "file PATH" or "" (none)."""

    username: str = ""
    password: str = ""
    prefix: str = "quarterdeck"  # before the `:` of every key
    ca: str = ""  # TLS: PEM files, "" where there is none
    cert: str = ""
    key: str = ""
    verify: bool = True  # TLS: is the server's certificate checked


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """How to reach a Redis server, password included: made when a process starts, never kept in `Settings`. `url` is
    `redis://host:port/db`, `rediss://host:port/db` or `unix:///path?db=N`, spelt in full, without credentials."""

    url: str
    username: str = ""
    password: str = field(default="", repr=False)
    prefix: str = "quarterdeck"
    ca: str = ""
    cert: str = ""
    key: str = ""
    verify: bool = True
    connect_ms: int = 5_000
    answer_ms: int = 5_000  # of one command


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything configurable, defaults included. `origins` tells where each dotted key's value came from."""

    agents: Mapping[str, Agent] = field(default_factory=dict)
    routing: Routing = Routing()
    slots: int = 4
    backend: str = "sqlite"  # or a URL as of `RedisOptions`
    redis: RedisSettings = RedisSettings()
    synchronous: str = "full"  # SQLite: full or normal
    executor: str = "local"  # or kubernetes, or auto
    kubernetes: Kubernetes | None = None  # None: no pods
    staging: Staging | None = None  # None: the tasks of a run share nothing
    retry: RetryPolicy = RetryPolicy()
    lease_ms: int = 15_000
    heartbeat_ms: int = 5_000
    stop_grace_ms: int = 3_000
    recording_cap: int = 256 << 20
    record: bool = True
    secrets: Mapping[str, Secret] = field(default_factory=dict)  # those with a name, for agents and tasks
    prices: Mapping[str, Price] = field(default_factory=dict)  # fnmatch pattern of a model -> price, the first fits
    env_allow: tuple[str, ...] = ()  # beyond the built-in allow-list
    cols: int = 120
    rows: int = 40
    labels: Mapping[str, str] = field(default_factory=dict)
    worker_name: str = ""  # "": the machine's name
    listen: str = ""  # HOST:PORT of the control API for other machines; "": none
    detach_key: str = "ctrl-]"
    path: str = ""  # the file, "" when there is none
    origins: Mapping[str, str] = field(default_factory=dict)

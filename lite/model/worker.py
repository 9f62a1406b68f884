"""Workers: registered processes that claim tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class WorkerState(StrEnum):
    """`unhealthy`: no heartbeat for longer than its lease; `draining`: cordoned with work left."""

    IDLE = "idle"
    BUSY = "busy"
    UNHEALTHY = "unhealthy"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Worker:
    """The registered row. `running` is counted from the leases it holds. `executors` are the places it can start work
    in. `address` is where its control API can be reached from other machines ("" when nowhere), `token` what that
    wants to see; it is never shown. `load` is what its machine does, per processor, as of the last heartbeat. `access`
    is the SHA-256 of what a worker that does not reach the backend itself shows to the API; "": it does."""

    id: str
    node: str
    slots: int
    agents: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    pid: int = 0
    address: str = ""
    version: str = ""
    ttl_ms: int = 15_000  # silent for longer: unhealthy
    registered_at: int = 0
    heartbeat_at: int = 0
    cordoned: bool = False
    running: tuple[str, ...] = ()
    executors: tuple[str, ...] = ("local",)
    token: str = ""
    load: float = 0.0
    access: str = ""

    @property
    def over_http(self) -> bool:
        """It lives elsewhere and speaks through a supervisor: it may outlive that one, and the home's lock."""
        return self.access != ""

    def state(self, now: int) -> WorkerState:
        """Its state at `now` (ms)."""
        if now - self.heartbeat_at > self.ttl_ms:
            return WorkerState.UNHEALTHY
        if self.cordoned:
            return WorkerState.DRAINING
        return WorkerState.BUSY if self.running else WorkerState.IDLE

"""Orders and plans: work as somebody asked for it, read but not yet checked, routed or given ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lite.model.task import Affinity, OnFailure, Strategy
from providers.base import HttpCall, Mode


@dataclass(frozen=True, slots=True)
class Order:
    """One task asked for. `needs` are names of companions in the plan, task ids, unique id prefixes or `run/name`.

    None means "not said": the agent's or the provider's default applies. `places` maps a field to where it was
    written (`file:line:column`), for error messages.
    """

    name: str = ""
    agent: str = ""
    type: str = ""
    trigger: str = ""
    prompt: str = ""
    command: tuple[str, ...] = ()
    http: HttpCall | None = None
    needs: tuple[str, ...] = ()
    lane: str = ""
    touches: tuple[str, ...] = ()
    priority: int = 0
    timeout_ms: int | None = None
    idle_timeout_ms: int | None = None
    retries: int | None = None
    on_failure: OnFailure = "skip"
    mode: Mode | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)  # variable -> name of a configured secret
    cwd: str = ""
    team: str = ""
    selector: Mapping[str, str] = field(default_factory=dict)
    affinity: Affinity = "none"
    strategy: Strategy = ""
    complexity: str = ""
    key: str = ""
    delay_ms: int = 0  # not before this long after the submission
    watched: bool = False  # somebody is there who will answer what its agent asks
    places: Mapping[str, str] = field(default_factory=dict)

    def place(self, name: str) -> str:
        """Where field `name` was written; the field's own name when nobody knows."""
        return self.places.get(name) or self.places.get("") or name


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan as read: its tasks in the order of the file. `cwd` is the project root."""

    name: str
    orders: tuple[Order, ...]
    source: str = ""
    cwd: str = ""
    key: str = ""
    places: Mapping[str, str] = field(default_factory=dict)

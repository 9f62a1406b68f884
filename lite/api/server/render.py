"""From the model to the messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from lite.api.messages import (
    ActivityJson,
    AgentJson,
    AttachJson,
    ConfigJson,
    CostJson,
    CostsJson,
    EventJson,
    InspectionJson,
    RunJson,
    StatusJson,
    TaskJson,
    WaitingJson,
    WorkerJson,
)
from lite.engine.questions import verbs
from lite.model.event import Event
from lite.model.run import Run
from lite.model.session import Inspection, Status, session_id
from lite.model.settings import Settings
from lite.model.task import State, Task, Waiting
from lite.model.worker import Worker
from lite.rules.accounts import Hold
from lite.rules.costs import Cost, total
from lite.terminal.packets import PROTOCOL

if TYPE_CHECKING:
    from lite.engine.agents import AgentInfo
    from lite.engine.session_operations import AttachOffer
    from lite.engine.supervisor import SupervisorInfo
    from lite.rules.explain import Explanation

_MASK = "***"
_MOST_TEXT = 4000  # characters


def task_json(task: Task, status: Status | None) -> TaskJson:
    """`status` is that of the live session, None when none runs here."""
    spec = task.spec
    activity, source, rule, since = "", "", "", None
    if status is not None and not task.state.terminal:
        activity, source, rule, since = status.activity.value, status.source, status.rule, status.since
    elif task.state is State.RUNNING:
        activity, source, rule, since = "unknown", "engine", "elsewhere", task.started_at
    return {
        "id": spec.id,
        "run": spec.run,
        "name": spec.name,
        "seq": task.seq,
        "agent": spec.agent,
        "provider": spec.provider,
        "mode": spec.mode,
        "state": task.state.value,
        "reason": task.reason,
        "detail": task.detail,
        "cause": task.cause,
        "activity": activity,
        "activity_source": source,
        "activity_rule": rule,
        "activity_since": since,
        "waiting": waiting_json(task.waiting),
        "attempt": task.attempt,
        "failures": task.failures,
        "faults": task.faults,
        "retries": spec.retries,
        "lane": spec.lane,
        "needs": list(spec.needs),
        "touches": list(spec.touches),
        "priority": spec.priority,
        "rule": spec.rule,
        "type": spec.type,
        "trigger": spec.trigger,
        "prompt": spec.prompt,
        "command": list(spec.command),
        "url": spec.http.url if spec.http else "",
        "cwd": spec.cwd,
        "key": spec.key,
        "timeout_ms": spec.timeout_ms,
        "idle_timeout_ms": spec.idle_timeout_ms,
        "on_failure": spec.on_failure,
        "worker": task.worker,
        "assigned": task.assigned,
        "assigned_why": task.assigned_why,
        "session": session_id(spec.id, task.attempt) if task.attempt else "",
        "cancel": task.cancel,
        "exit_code": task.exit_code,
        "signal": task.signal,
        "output": task.output,
        "cost_usd": task.usage.cost_usd,
        "cost_source": (task.usage.cost_source or task.usage.source).value,
        "tokens_in": task.usage.tokens_in,
        "tokens_out": task.usage.tokens_out,
        "run_at": task.run_at or None,
        "created_at": task.created_at,
        "started_at": task.started_at,
        "ended_at": task.ended_at,
    }


def waiting_json(waiting: Waiting | None) -> WaitingJson | None:
    if waiting is None:
        return None
    return {
        "id": waiting.id,
        "kind": waiting.kind,
        "text": waiting.text,
        "hash": waiting.hash,
        "verbs": list(verbs(waiting)),
    }


def costs_json(by: str, since: int, costs: Sequence[tuple[Cost, str]]) -> CostsJson:
    return {
        "by": by,
        "since": since,
        "costs": [_cost_json(cost, name) for cost, name in costs],
        "total": _cost_json(total(cost for cost, _ in costs), "total"),
    }


def _cost_json(cost: Cost, name: str) -> CostJson:
    return {
        "key": cost.key,
        "name": name or cost.key,
        "attempts": cost.attempts,
        "tokens_in": cost.tokens_in,
        "tokens_out": cost.tokens_out,
        "tokens_cached": cost.tokens_cached,
        "reported_usd": cost.reported_usd,
        "estimated_usd": cost.estimated_usd,
        "unpriced": cost.unpriced,
        "uncounted": cost.uncounted,
    }


def run_json(run: Run) -> RunJson:
    return {
        "id": run.id,
        "name": run.spec.name,
        "key": run.spec.key,
        "source": run.spec.source,
        "state": run.state.value,
        "counts": {state.value: count for state, count in run.counts.items() if count},
        "created_at": run.created_at,
        "ended_at": run.ended_at,
    }


def event_json(event: Event) -> EventJson:
    return {
        "cursor": event.cursor,
        "at": event.at,
        "kind": event.kind.value,
        "run": event.run,
        "task": event.task,
        "attempt": event.attempt,
        "worker": event.worker,
        "data": dict(event.data),
    }


def activity_json(task: str, status: Status) -> ActivityJson:
    return {
        "task": task,
        "activity": status.activity.value,
        "source": status.source,
        "rule": status.rule,
        "since": status.since,
        "text": status.text,
    }


def worker_json(worker: Worker, now: int) -> WorkerJson:
    return {
        "id": worker.id,
        "node": worker.node,
        "state": worker.state(now).value,
        "slots": worker.slots,
        "running": list(worker.running),
        "agents": list(worker.agents),
        "labels": dict(worker.labels),
        "cordoned": worker.cordoned,
        "pid": worker.pid,
        "address": worker.address,
        "executors": list(worker.executors),
        "load": worker.load,
        "version": worker.version,
        "registered_at": worker.registered_at,
        "heartbeat_at": worker.heartbeat_at,
    }


def _hold_text(hold: Hold) -> str:
    where = f" on {hold.node}" if hold.local else ""
    return f"{hold.reason}{where}: {hold.message}".rstrip(": ")


def agent_json(info: AgentInfo) -> AgentJson:
    agent = info.agent
    return {
        "name": agent.name,
        "provider": agent.provider,
        "roles": list(agent.roles),
        "slots": agent.slots,
        "mode": agent.mode,
        "model": agent.model,
        "identity": agent.identity,
        "env": sorted(agent.env),
        "timeout_ms": agent.timeout_ms,
        "idle_timeout_ms": agent.idle_timeout_ms,
        "retries": agent.retries,
        "path": info.path,
        "version": info.version,
        "problem": info.problem,
        "account": info.account,
        "held": _hold_text(info.hold) if info.hold is not None else "",
    }


def inspection_json(session: str, seen: Inspection) -> InspectionJson:
    status = seen.status if seen.alive else None
    return {
        "session": session,
        "alive": seen.alive,
        "pid": seen.pid,
        "started_at": seen.started_at,
        "last_output_at": seen.last_output_at,
        "start": seen.start,
        "offset": seen.offset,
        "transcript": seen.transcript,
        "cols": seen.cols,
        "rows": seen.rows,
        "activity": status.activity.value if status else "",
        "source": status.source if status else "",
        "rule": status.rule if status else "",
        "since": status.since if status else 0,
        "text": status.text[:_MOST_TEXT] if status else "",
    }


def attach_json(offer: AttachOffer, address: str) -> AttachJson:
    return {
        "session": offer.session,
        "address": address,
        "ticket": offer.ticket,
        "cols": offer.cols,
        "rows": offer.rows,
        "protocol": PROTOCOL,
    }


def status_json(info: SupervisorInfo, cursor: int) -> StatusJson:
    return {
        "pid": info.pid,
        "home": info.home,
        "version": info.version,
        "protocol": info.protocol,
        "worker": info.worker,
        "backend": info.backend,
        "backend_warnings": list(info.backend_warnings),
        "role": info.role,
        "started_at": info.started_at,
        "services": [
            {"name": one.name, "state": one.state, "restarts": one.restarts, "last_error": one.last_error}
            for one in info.services
        ],
        "sessions": info.sessions,
        "slots": info.slots,
        "ready": info.ready,
        "stopping": info.stopping,
        "paused": info.stopping or not info.ready,
        "config_path": info.config_path,
        "config_error": info.config_error,
        "cursor": cursor,
    }


def config_json(settings: Settings) -> ConfigJson:
    """Values of `env` may be secrets: masked."""
    plain = _plain(settings)
    origins = plain.pop("origins")
    path = plain.pop("path")
    return {"path": path, "settings": plain, "origins": origins}


def _plain(value: Any, name: str = "") -> Any:
    if name == "env" and isinstance(value, Mapping):
        return dict.fromkeys(value, _MASK)
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name), each.name) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    found: dict[str, Any] = _plain(explanation)
    return found

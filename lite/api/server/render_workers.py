"""From the model to the answers of the worker protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lite.api.messages_workers import LeaseJson, RenewalJson
from lite.model.session import session_id
from lite.model.task import Renewal

if TYPE_CHECKING:
    from lite.engine.worker_operations import Handed


def lease_json(handed: Handed, now: int) -> LeaseJson:
    task, lease, spec = handed.task, handed.lease, handed.task.spec
    http = spec.http
    return {
        "task": task.id,
        "attempt": lease.attempt,
        "token": lease.token,
        "expires_at": lease.expires_at,
        "ttl_ms": max(lease.expires_at - now, 0),
        "session": session_id(task.id, lease.attempt),
        "name": spec.name,
        "run": spec.run,
        "agent": spec.agent,
        "provider": spec.provider,
        "model": handed.model,
        "mode": spec.mode,
        "prompt": handed.prompt,
        "command": list(spec.command),
        "http": None
        if http is None
        else {
            "url": http.url,
            "method": http.method,
            "headers": dict(http.headers),
            "body": http.body,
            "max_bytes": http.max_bytes,
            "allow_private": http.allow_private,
            "secrets": dict(http.secrets),
        },
        "cwd": spec.cwd,
        "env": dict(handed.env),
        "secrets": dict(spec.secrets),
        "needs": dict(handed.needs),
        "timeout_ms": spec.timeout_ms,
        "idle_timeout_ms": spec.idle_timeout_ms,
        "resume": task.provider_session,
        "handle": handed.handle,
        "cancel": task.cancel,
    }


def renewal_json(renewal: Renewal) -> RenewalJson:
    lease = renewal.lease
    return {
        "task": lease.task,
        "token": lease.token,
        "lost": renewal.lost,
        "cancel": renewal.cancel,
        "expires_at": None if renewal.lost else lease.expires_at,
    }

"""Request bodies of the worker protocol, and from them to the model. Everything in them is bounded: they come from
other machines, and what they say is stored, counted with and shown."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, NotRequired

from fastapi import Body, Header, Path
from pydantic import Field
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from lite.config.orders import checked, strict
from lite.engine.worker_operations import LONGEST_WAIT_MS, Wanted
from lite.errors import UsageError
from lite.model.task import Outcome, OutcomeKind, Progress, Reason, Waiting
from lite.model.worker import Worker
from providers.base import Source, Usage

_LARGEST = (1 << 53) - 1
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
_NOT_ITS_OWN = {Reason.POISON, Reason.NEED, Reason.UNROUTABLE, Reason.REOPENED, Reason.RETRY}

Name = Annotated[str, Field(pattern=_NAME, max_length=100)]
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length=100)]
Graphic = Annotated[str, Field(pattern=r"^[\x21-\x7e]*$", max_length=256)]
Ttl = Annotated[int, Field(ge=1000, le=600_000, description="ms")]
Short = Annotated[str, Field(max_length=200)]
Long = Annotated[str, Field(max_length=4000)]
Amount = Annotated[int | None, Field(ge=0, le=_LARGEST)]

WorkerToken = Annotated[
    str, Header(alias="X-Worker-Token", max_length=200, description="What the registration was answered with")
]
WorkerId = Annotated[str, Path(description="The whole id it registered with")]


@strict
class RegisterBody(TypedDict):
    """Who can run what. `agents` are those it serves; `labels` are what selectors go by (`node` is one of itself);
    `ttl_ms`: silent for longer, it is unhealthy; `address` (http://host:port) and `token`: its own control API, if it
    has one that other machines reach."""

    id: Annotated[str, Field(pattern=_NAME, max_length=72)]
    agents: Annotated[list[Name], Field(min_length=1, max_length=200)]
    node: NotRequired[Annotated[str, Field(pattern=_NAME, max_length=253)]]
    slots: NotRequired[Annotated[int, Field(ge=1, le=1000)]]
    labels: NotRequired[Annotated[dict[Label, Graphic], Field(max_length=100)]]
    executors: NotRequired[Annotated[list[Literal["local", "kubernetes"]], Field(min_length=1, max_length=2)]]
    ttl_ms: NotRequired[Ttl]
    address: NotRequired[Annotated[str, Field(pattern=r"^(https?://[A-Za-z0-9.:\[\]-]+)?$", max_length=300)]]
    token: NotRequired[Graphic]
    version: NotRequired[Annotated[str, Field(pattern=r"^[A-Za-z0-9.+-]*$", max_length=50)]]


@strict
class HeartbeatBody(TypedDict, total=False):
    """`load`: what its machine does, per processor."""

    load: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


@strict
class ClaimBody(TypedDict, total=False):
    """`agents` narrow those it has registered, each with the most that may run at once in the whole fleet (null: as
    configured). `wait_ms`: how long to wait for something to take; half of the worker's ttl at most."""

    limit: Annotated[int, Field(ge=1, le=1000)]
    agents: Annotated[dict[Name, Annotated[int | None, Field(ge=0, le=_LARGEST)]], Field(min_length=1, max_length=200)]
    ttl_ms: Ttl
    wait_ms: Annotated[int, Field(ge=0, le=LONGEST_WAIT_MS)]


@strict
class HeldBody(TypedDict):
    """A lease, as it was handed out."""

    task: Short
    token: Annotated[int, Field(ge=0, le=_LARGEST)]


@strict
class RenewBody(TypedDict):
    """Renew several at once, `ttl_ms` (else the worker's) from now."""

    worker: Short
    leases: Annotated[list[HeldBody], Field(max_length=1000)]
    ttl_ms: NotRequired[Ttl]


@strict
class UsageBody(TypedDict, total=False):
    tokens_in: Amount
    tokens_out: Amount
    cost_usd: Annotated[float | None, Field(ge=0, le=1e9, allow_inf_nan=False)]


@strict
class WaitingBody(TypedDict):
    """What the session waits for a person to answer."""

    text: Long
    kind: NotRequired[Literal["question", "approval", "input"]]


@strict
class RecordBody(HeldBody):
    """What the running attempt has come to. `started`: its program runs; `handle`: what the worker wants to find it by
    again; `provider_session`: the agent's conversation; `waiting` or `answered`: a person is needed, or was there."""

    worker: Short
    started: NotRequired[bool]
    handle: NotRequired[Short]
    provider_session: NotRequired[Short]
    usage: NotRequired[UsageBody]
    waiting: NotRequired[WaitingBody]
    answered: NotRequired[bool]


@strict
class FinishBody(HeldBody):
    """The attempt's one outcome. `failed` is the task's own failure and uses up its retries; `unexecutable` is the
    infrastructure's; `rescheduled` is nobody's, and `delay_ms` parks it. `output` is at most 64 KiB."""

    worker: Short
    kind: Literal["succeeded", "failed", "unexecutable", "rescheduled", "cancelled"]
    reason: NotRequired[Annotated[str, Field(pattern=r"^([a-z][a-z0-9-]*)?$", max_length=40)]]
    detail: NotRequired[Long]
    exit_code: NotRequired[Annotated[int | None, Field(ge=0, le=0xFFFFFFFF)]]
    signal: NotRequired[Annotated[int | None, Field(ge=1, le=128)]]
    output: NotRequired[str | None]
    usage: NotRequired[UsageBody]
    provider_session: NotRequired[Short]
    delay_ms: NotRequired[Annotated[int, Field(ge=0, le=366 * 86_400_000)]]


Register = Annotated[RegisterBody, Body()]
Heartbeat = Annotated[HeartbeatBody | None, Body()]
ClaimLeases = Annotated[ClaimBody | None, Body()]
Renew = Annotated[RenewBody, Body()]
Record = Annotated[RecordBody, Body()]
Finish = Annotated[FinishBody, Body()]


def worker_from(body: RegisterBody, ttl_ms: int) -> Worker:
    """`ttl_ms` where the body says nothing of it. Raises `UsageError`."""
    checked(dict(body))
    node = body.get("node", body["id"])
    return Worker(
        id=body["id"],
        node=node,
        slots=body.get("slots", 1),
        agents=tuple(dict.fromkeys(body["agents"])),
        labels={"node": node, **body.get("labels", {})},
        address=body.get("address", ""),
        version=body.get("version", ""),
        ttl_ms=body.get("ttl_ms", ttl_ms),
        executors=tuple(dict.fromkeys(body.get("executors", ["local"]))),
        token=body.get("token", ""),
    )


def wanted_from(body: ClaimBody) -> Wanted:
    return Wanted(body.get("limit", 1), body.get("agents"), body.get("ttl_ms"), body.get("wait_ms", 0))


def held_from(body: HeldBody) -> tuple[str, int]:
    """Raises `UsageError`."""
    checked(body["task"], "task")
    return body["task"], body["token"]


def progress_from(body: RecordBody) -> Progress:
    """Raises `UsageError`."""
    checked(dict(body))
    asked = body.get("waiting")
    if asked is not None and body.get("answered"):
        raise UsageError("it either waits or was answered", place="answered")
    return Progress(
        handle=body.get("handle"),
        started=body.get("started", False),
        provider_session=body.get("provider_session"),
        usage=_usage(body.get("usage")),
        waiting=None if asked is None else _waiting(asked),
        answered=body.get("answered", False),
    )


def outcome_from(body: FinishBody) -> Outcome:
    """Raises `UsageError`."""
    checked(dict(body))
    reason = body.get("reason", "")
    if reason in _NOT_ITS_OWN:
        raise UsageError(f"{reason} is not for a worker to say", place="reason")
    if "delay_ms" in body and body["kind"] != "rescheduled":
        raise UsageError("only what is rescheduled is parked; back-off is ours to choose", place="delay_ms")
    return Outcome(
        OutcomeKind(body["kind"]),
        reason,
        body.get("detail", ""),
        body.get("exit_code"),
        body.get("signal"),
        body.get("output"),
        _usage(body.get("usage")),
        body.get("provider_session"),
    )


def _usage(body: UsageBody | None) -> Usage | None:
    if body is None:
        return None
    return Usage(body.get("tokens_in"), body.get("tokens_out"), body.get("cost_usd"), Source.REPORTED)


def _waiting(asked: WaitingBody) -> Waiting:
    """Its id is that of the attempt, which the engine knows."""
    digest = hashlib.sha256(asked["text"].encode()).hexdigest()
    return Waiting("", asked.get("kind", "question"), asked["text"], digest)

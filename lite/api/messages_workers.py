"""The JSON answers of the worker protocol: what a worker learns that speaks to the fleet over HTTP alone. As in
`messages`; the bodies it sends are in `server.bodies_workers`."""

from __future__ import annotations

from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from lite.api.messages import HttpCallBody, WorkerJson


class RegisteredJson(TypedDict):
    """`token` is shown once: send it as `X-Worker-Token` with everything else."""

    worker: WorkerJson
    token: str


class LeaseJson(TypedDict):
    """The right to run one attempt until `expires_at` (the supervisor's clock; `ttl_ms` from now), and all it takes.
    `token` fences: show it with the task in everything said of this lease. `prompt` has its needs' outputs filled in;
    `needs` are these outputs by name. `resume`: the agent's conversation to go on with, "" for none. `handle`: what the
    worker has recorded of this attempt. What a program writes to the file that `$QD_OUTPUT` names (the worker sets it)
    is the output to finish with. `secrets`: variable -> name of a secret; values are the worker's own to have."""

    task: str
    attempt: int
    token: int
    expires_at: int
    ttl_ms: int
    session: str
    name: str
    run: str
    agent: str
    provider: str
    model: str
    mode: str
    prompt: str
    command: list[str]
    http: HttpCallBody | None
    cwd: str
    env: dict[str, str]
    secrets: dict[str, str]
    needs: dict[str, str | None]
    timeout_ms: int | None
    idle_timeout_ms: int | None
    resume: str
    handle: str
    cancel: str


class RenewalJson(TypedDict):
    """`lost`: stop the attempt at once and write nothing. `cancel`: a reason why somebody wants its end; stop it and
    finish it as cancelled. `expires_at` None: lost."""

    task: str
    token: int
    lost: bool
    cancel: str
    expires_at: int | None

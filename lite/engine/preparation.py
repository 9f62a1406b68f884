"""From a claimed task to the request its executor needs: prompt, environment, needs' outputs, launch."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lite.engine.context import Context
from lite.engine.environment import abroad, build_environment, need_variable
from lite.engine.picking import pick_executor
from lite.engine.secrets import fetch, fetch_headers, sources
from lite.engine.staging import VARIABLE as STAGING
from lite.engine.staging import provide as provide_staging
from lite.errors import InvalidTask
from lite.model.session import Origin, SessionRequest, session_id
from lite.model.settings import Agent
from lite.model.task import Lease, Task, TaskQuery, TaskSpec
from lite.restart import self_command
from lite.rules.checks import is_owned
from lite.rules.pick import LOCAL, PODS
from lite.rules.prompt import render_prompt
from providers.base import AgentEvent, Failure, HttpCall, Launch, Parser, Provider, Request, Stream, Verdict
from providers.errors import ProviderError

log = logging.getLogger(__name__)


_SELF = tuple(self_command())


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything decided before the program starts."""

    session: SessionRequest
    provider: Provider
    asked: Request
    structured: bool  # its output is parsed into events
    executor: str

    @property
    def inline(self) -> bool:
        """There is no program."""
        return self.session.launch.inline is not None


async def prepare(context: Context, task: Task, lease: Lease) -> Prepared:
    """Raises `InvalidTask` when the provider refuses the request or a needed output is missing, `SecretUnavailable`."""
    spec = task.spec
    agent = context.agent(spec.agent, spec.provider)
    outputs = await _needed_outputs(context, task) if spec.needs else {}
    executor = (await pick_executor(context, task)).executor
    asked = _ask(context, spec, lease.attempt, render_prompt(spec.prompt, outputs), task.provider_session, executor)
    try:
        provider = context.providers.get(spec.provider)
        provider.validate(asked)
        launch = provider.launch(asked)
        _check_owned(spec, agent, provider)
    except ProviderError as error:
        raise InvalidTask(error.message, hint=error.hint, place=error.field) from error
    if launch.inline is not None:
        headers = await fetch_headers(context, launch.inline) if isinstance(launch.inline, HttpCall) else {}
        request = SessionRequest(
            task=task.id,
            attempt=lease.attempt,
            token=lease.token,
            launch=launch,
            cwd=spec.cwd,
            env={},
            directory="",
            timeout_ms=spec.timeout_ms,
            headers=headers,
        )
        return Prepared(request, provider, asked, structured=False, executor="inline")
    secrets = await fetch(context, agent, spec)
    directory = context.home.session(session_id(task.id, lease.attempt))
    needs = _write_needs(directory, outputs)
    staging = await provide_staging(context, task, executor)
    env = build_environment(
        abroad(os.environ, context.settings.env_allow) if executor == PODS else os.environ,
        context.settings.env_allow,
        launch.env,
        agent.env,
        secrets.agent,
        spec.env,
        secrets.task,
        _own_variables(context, task, lease, directory, [*secrets.agent, *secrets.task]),
        {STAGING: staging} if staging else {},
        needs,
        unset=launch.unset,
        never=sources(context.settings),
    )
    request = SessionRequest(
        task=task.id,
        attempt=lease.attempt,
        token=lease.token,
        launch=launch,
        cwd=spec.cwd or str(Path.cwd()),
        env=env,
        directory=str(directory),
        cols=context.settings.cols,
        rows=context.settings.rows,
        cap_bytes=context.settings.recording_cap,
        record=context.settings.record,
        secrets=secrets.values,
        origin=Origin(spec.run, spec.name, spec.agent, spec.team, spec.selector, spec.affinity),
    )
    return Prepared(
        request,
        provider,
        asked,
        structured=_is_structured(launch, provider),
        executor=executor,
    )


def check_with_provider(context: Context, spec: TaskSpec) -> None:
    """Raise `InvalidTask` when the agent's provider would refuse the launch for reasons that can be seen now."""
    try:
        context.providers.get(spec.provider).validate(_ask(context, spec, 1, spec.prompt))
    except ProviderError as error:
        place = f"agent {spec.agent}: {error.field}" if error.field else f"agent {spec.agent}"
        raise InvalidTask(error.message, hint=error.hint, place=place) from error


def _check_owned(spec: TaskSpec, agent: Agent, provider: Provider) -> None:
    """As at submission: it may have been routed again since, and this worker has a configuration of its own."""
    able = provider.capabilities()
    for field, names in (("env", spec.env), ("secrets", spec.secrets)):
        for name in names:
            if is_owned(name, agent, able):
                raise InvalidTask(f"{name} is for agent {agent.name} to choose", place=f"{field}.{name}")


def parser_for(context: Context, task: Task, lease: Lease) -> Parser | None:
    """The parser of a session that was started earlier; None when its output is not structured. Should its provider not
    be to be had any more, nobody can say that a headless agent did its work, whatever its exit code."""
    asked = _ask(context, task.spec, lease.attempt, task.spec.prompt, task.provider_session)
    try:
        provider = context.providers.get(task.spec.provider)
        return provider.parser(asked) if _is_structured(provider.launch(asked), provider) else None
    except ProviderError as error:
        log.warning("%s: %s", task.id, error)
        return _Unread(error.message) if task.spec.mode == "headless" else None


class _Unread:
    """Of output that nobody understands: an exit code of 0 is no success by itself."""

    def __init__(self, why: str) -> None:
        self._why = why

    def feed(self, _stream: Stream, _data: bytes) -> Sequence[AgentEvent]:
        return ()

    def end(self, exit_code: int | None, _signal: int | None) -> Verdict:
        return Verdict(True) if exit_code != 0 else Verdict(False, Failure.NO_RESULT, self._why)


def _is_structured(launch: Launch, provider: Provider) -> bool:
    return launch.stdio == "pipes" and provider.capabilities().events


def _ask(
    context: Context, spec: TaskSpec, attempt: int, prompt: str, resume: str = "", executor: str = LOCAL
) -> Request:
    agent = context.agent(spec.agent, spec.provider)
    pods = (agent.kubernetes or context.settings.kubernetes) if executor == PODS else None
    return Request(
        task=spec.id,
        attempt=attempt,
        mode=spec.mode,
        prompt=prompt,
        argv=spec.command,
        http=spec.http,
        cwd=(pods.workdir if pods else "") or spec.cwd,
        model=agent.model,
        resume=resume,
        options=agent.options,
        python=(pods.program,) if pods else _SELF,
        at=context.clock.now(),
    )


def output_path(directory: str | os.PathLike[str]) -> Path:
    """Where `$QD_OUTPUT` points."""
    return Path(directory) / "output"


async def _needed_outputs(context: Context, task: Task) -> dict[str, str | None]:
    needed = await context.backend.tasks(TaskQuery(ids=task.spec.needs))
    return {one.spec.name: one.output for one in needed}


def _write_needs(directory: Path, outputs: Mapping[str, str | None]) -> dict[str, str]:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    variables: dict[str, str] = {}
    if outputs:
        folder = directory / "needs"
        folder.mkdir(mode=0o700, exist_ok=True)
        for name, output in outputs.items():
            path = folder / name
            path.write_text(output or "", encoding="utf-8", errors="surrogateescape")
            variables[need_variable(name)] = str(path)
    return variables


def _own_variables(
    context: Context, task: Task, lease: Lease, directory: Path, secrets: Sequence[str]
) -> dict[str, str]:
    """`secrets`: the names of variables, for a driver, which alone sees what an agent tells in pieces."""
    more = {"QD_SECRETS": ",".join(secrets)} if secrets else {}
    return more | {
        "QD_HOME": str(context.home.root),
        "QD_TASK": task.id,
        "QD_ATTEMPT": str(lease.attempt),
        "QD_SESSION": session_id(task.id, lease.attempt),
        "QD_IDEMPOTENCY_KEY": task.spec.key or task.id,
        "QD_OUTPUT": str(output_path(directory)),
    }

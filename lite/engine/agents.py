"""Which configured agents could run here: their programs found, with versions, or what is wrong."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lite.aio.programs import ask
from lite.engine.context import Context
from lite.engine.secrets import problem_of as secret_problem
from lite.model.settings import Agent
from lite.rules.accounts import Hold, account_of
from providers.base import Provider
from providers.errors import ProviderError

_VERSION_SECONDS = 10.0
_VERSION_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class AgentInfo:
    """`path` is the program found, `problem` what keeps the agent from running ("" when nothing does)."""

    agent: Agent
    path: str = ""
    version: str = ""
    problem: str = ""
    account: str = ""
    hold: Hold | None = None  # what holds its tasks, here or on another machine, though it could run


async def look_at_agents(context: Context) -> Sequence[AgentInfo]:
    """Each program is asked for its version once, side by side."""
    found = await asyncio.gather(*(_look(context, agent) for agent in context.settings.agents.values()))
    now = context.clock.now()
    return [replace(one, account=account_of(one.agent), hold=_hold(context, one.agent, now)) for one in found]


def _hold(context: Context, agent: Agent, now: int) -> Hold | None:
    """Here; else wherever it is."""
    if not agent.gate:
        return None
    account = account_of(agent)
    elsewhere = (hold for hold in context.gate.holds(now) if hold.account == account)
    return context.gate.on(agent, now, context.node) or next(elsewhere, None)


async def _look(context: Context, agent: Agent) -> AgentInfo:
    try:
        provider = context.providers.get(agent.provider)
    except ProviderError as error:
        return AgentInfo(agent, problem=error.message)
    if agent.secrets and (problem := await asyncio.to_thread(secret_problem, context, agent)):
        return AgentInfo(agent, problem=problem)
    wanted = provider.capabilities().executable
    if not wanted:
        return AgentInfo(agent)
    path = await asyncio.to_thread(shutil.which, wanted, path=agent.env.get("PATH") or os.environ.get("PATH"))
    if path is None:
        return AgentInfo(agent, problem=f"{wanted} is not on PATH")
    return AgentInfo(agent, path=path, version=await _version(provider, path))


async def _version(provider: Provider, path: str) -> str:
    arguments = provider.capabilities().version_args
    if not arguments:
        return ""
    try:
        answer = await ask((path, *arguments), seconds=_VERSION_SECONDS, most=_VERSION_BYTES)
    except OSError:
        return ""
    return provider.version(answer.output.decode("utf-8", "replace"))

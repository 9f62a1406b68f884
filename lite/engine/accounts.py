"""Accounts that are held: written to the event log, which every process folds into its gate."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Callable

from lite.aio.programs import ask
from lite.aio.service import Service
from lite.engine.context import Context
from lite.engine.judgement import parked_until
from lite.engine.secrets import of_agent
from lite.errors import BackendError, NotFound, SecretUnavailable
from lite.model.event import Event, EventKind
from lite.model.settings import Agent
from lite.rules.accounts import ACCOUNTS, MAX_MESSAGE, Hold, account_of
from providers.base import Request, Verdict
from providers.errors import ProviderError

log = logging.getLogger(__name__)

_PAGE = 1000
_BREATH_SECONDS = 1.0  # between two looks at a busy log; less than `judgement.HEARD_MS`
_LOGIN_SECONDS = 10.0
_LOGIN_BYTES = 1 << 20


class Accounts:
    """Keeps this process's gate up to date. Its loop is for those who share a backend: who is alone on it hears of
    nothing but what it wrote itself."""

    def __init__(self, context: Context, wake: Callable[[], None]) -> None:
        self._context = context
        context.gate.changed = wake
        self.service = Service("accounts", self._loop, longest=2.0, sleep=context.clock.sleep)

    async def catch_up(self) -> None:
        """Fold what was written since the last time. Raises `BackendError`."""
        await catch_up(self._context)

    async def _loop(self) -> None:
        seen = 0
        while True:
            seen = await self._context.backend.wait(seen)
            await self.catch_up()
            await self._context.clock.sleep(_BREATH_SECONDS)


async def catch_up(context: Context) -> None:
    gate = context.gate
    while True:
        page = await context.backend.events(gate.cursor, limit=_PAGE, run=ACCOUNTS)
        gate.fold(page)
        if len(page) < _PAGE:
            return


async def hold_for(context: Context, agent: Agent, verdict: Verdict) -> None:
    """Hold the agent's account when this verdict is about all of it."""
    if verdict.ok or not verdict.account or not agent.gate:
        return
    now, account = context.clock.now(), account_of(agent)
    until = parked_until(verdict, now)
    if not context.gate.adds(Hold(account, str(verdict.reason), "", now, until, node=context.node), now):
        return
    data = {"account": account, "reason": str(verdict.reason), "message": verdict.message[:MAX_MESSAGE]}
    data["node"] = context.node
    if until is not None:
        data["until"] = until  # type: ignore[assignment]
    log.warning("account %s is held: %s", account, verdict.reason)
    try:
        await _write(context, EventKind.ACCOUNT_HELD, data)
    except BackendError as error:  # the next one to fail tries again
        log.warning("account %s not held: %s", account, error)


async def release(context: Context, ref: str, why: str) -> Hold:
    """`ref`: an account that is held, wherever that is, or an agent whose account is. Raises `NotFound`."""
    await catch_up(context)
    holds = {hold.account: hold for hold in context.gate.holds(context.clock.now())}
    agent = context.settings.agents.get(ref)
    hold = holds.get(ref) or (holds.get(account_of(agent)) if agent is not None else None)
    if hold is None:
        raise NotFound(f"account {ref!r} is not held", hint=f"held now: {', '.join(holds) or 'none is'}", place=ref)
    await _write(context, EventKind.ACCOUNT_RELEASED, {"account": hold.account, "why": why})
    return hold


async def release_logged_in(context: Context) -> None:
    """Release those that waited for a login which is there again, by their own programs' word: here, and only here."""
    now = context.clock.now()
    for agent in context.settings.agents.values():
        hold = context.gate.on(agent, now, context.node)
        if hold is not None and hold.local and await _logged_in(context, agent):
            data = {"account": hold.account, "why": "login", "node": context.node}
            await _write(context, EventKind.ACCOUNT_RELEASED, data)


async def _logged_in(context: Context, agent: Agent) -> bool:
    try:
        provider = context.providers.get(agent.provider)
        able = provider.capabilities()
        asked = Request("login", 1, "headless", prompt="login", cwd="/", model=agent.model, options=agent.options)
        env = {**os.environ, **provider.launch(asked).env, **agent.env, **await of_agent(context, agent)}
    except (ProviderError, SecretUnavailable):
        return False
    path = await asyncio.to_thread(shutil.which, able.executable, path=env.get("PATH")) if able.login_args else None
    if path is None:
        return False
    try:
        return (await ask((path, *able.login_args), seconds=_LOGIN_SECONDS, most=_LOGIN_BYTES, env=env)).code == 0
    except OSError:
        return False


async def _write(context: Context, kind: EventKind, data: dict[str, str]) -> None:
    event = Event(kind, context.clock.now(), run=ACCOUNTS, worker=context.worker, data=data)
    await context.backend.append(event)
    await catch_up(context)

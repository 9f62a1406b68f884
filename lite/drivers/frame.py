"""Every driver's frame: agent started and ended, answers taken from stdin, signals turned into a cancel, one result.

SIGINT, SIGTERM and SIGHUP cancel by protocol first; a second one leaves that out.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Protocol

from lite.aio.tasks import Job, spawn
from lite.drivers.agent import Agent, Gone
from lite.drivers.desk import Desk
from lite.drivers.lines import Lines
from lite.drivers.outcome import Failed, Outcome, judge
from lite.drivers.spec import Spec, hidden
from providers.base import EventKind, Failure

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_EXIT_SECONDS = 2.0  # from an agent's last word to its exit code
_WORDS_KEPT = 2_000  # characters of stderr in a message


class Conversation(Protocol):
    """One protocol, spoken with one agent."""

    async def converse(self) -> Outcome:
        """The whole turn. Raises `Failed`; `Gone` when the agent has ended or closed its pipes."""
        ...

    async def cancel(self) -> bool:
        """Ask it to end the turn; `converse` returns when it has. False when there is no turn to end."""
        ...


Begin = Callable[[Spec, Agent, Desk, Lines], Conversation]


async def drive(spec: Spec, begin: Begin) -> int:
    """The exit code: 0 exactly when the result is ok."""
    lines = Lines(needles=hidden())
    try:
        outcome = await _conversation(spec, begin, lines)
        lines.say(EventKind.RESULT, outcome.text, outcome.data())
    except BrokenPipeError:
        return 1  # nobody reads: the holder is gone, and with it everything
    return 0 if outcome.ok else 1


async def _conversation(spec: Spec, begin: Begin, lines: Lines) -> Outcome:
    stop, hurry = asyncio.Event(), asyncio.Event()
    _on_signals(stop, hurry)
    desk = Desk(lines, spec.permissions, spec.wait_ms)
    command = spec.words("command")
    for name in spec.words("secrets"):  # variables with a password that only this program and its agent know
        os.environ[name] = secrets.token_urlsafe(24)
    try:
        agent = await Agent.start(command, spec.cwd)
    except (OSError, ValueError, IndexError) as error:
        return Outcome(False, _cannot_start(command, error), Failure.EXIT)
    close_stdin = await _listen(desk)
    try:
        conversation = begin(spec, agent, desk, lines)
        return await _turn(conversation, spec, agent, desk, stop, hurry)
    finally:
        desk.close()
        await agent.end(spec.close_ms / 1000, hurry)
        close_stdin()


async def _turn(
    conversation: Conversation, spec: Spec, agent: Agent, desk: Desk, stop: asyncio.Event, hurry: asyncio.Event
) -> Outcome:
    talk = spawn(conversation.converse(), "driver.converse")
    stopping = spawn(stop.wait(), "driver.stop")
    await asyncio.wait({talk, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if talk.done():
        return await _outcome(talk, agent)
    agent.look_around()
    desk.close()
    hurrying = spawn(hurry.wait(), "driver.hurry")
    cancelling = spawn(_cancel(conversation, talk), "driver.cancel")
    await asyncio.wait({cancelling, hurrying}, timeout=spec.cancel_ms / 1000, return_when=asyncio.FIRST_COMPLETED)
    for job in (talk, hurrying, cancelling):
        job.cancel()
    found, *_ = await asyncio.gather(talk, hurrying, cancelling, return_exceptions=True)
    if isinstance(found, Outcome) and (found.infrastructure or found.account):
        return found  # whoever ended it: it was getting nowhere
    return Outcome(False, "cancelled", Failure.CANCELLED)


async def _cancel(conversation: Conversation, talk: Job) -> None:
    try:
        if await conversation.cancel():
            await asyncio.wait({talk})
    except (Gone, ConnectionError):
        pass  # it has ended already


async def _outcome(talk: Job, agent: Agent) -> Outcome:
    try:
        found: Outcome = await talk
        return found
    except Failed as failed:
        return failed.outcome
    except Gone:
        return await _gone(agent)
    except BrokenPipeError:
        raise
    except Exception as error:  # whatever a hostile agent found: an outcome, and the traceback on stderr
        traceback.print_exc()
        return Outcome(False, f"the driver failed: {type(error).__name__}: {error}"[:_WORDS_KEPT], Failure.AGENT)


async def _gone(agent: Agent) -> Outcome:
    """It stopped in the middle of the conversation."""
    ended = await agent.wait(_EXIT_SECONDS)
    if ended:
        await agent.last_words()
    said = agent.tail.text[-_WORDS_KEPT:]
    if not ended:
        return Outcome(False, said or "it closed its output in the middle", Failure.CUT_STREAM)
    code = agent.exited.result()
    if code < 0:
        return Outcome(False, _both(f"the agent was ended by signal {-code}", said), Failure.SIGNAL)
    if code == 0:
        return judge(said or "the agent ended without finishing its turn", otherwise=Failure.NO_RESULT)
    return judge(_both(f"the agent ended with exit code {code}", said), otherwise=Failure.EXIT)


def _both(what: str, said: str) -> str:
    return f"{what}: {said}" if said else what


def _cannot_start(command: list[str], error: Exception) -> str:
    name = command[0] if command else "(no command)"
    if isinstance(error, FileNotFoundError) and error.filename == name:
        return f"not found: {name}" + ("" if "/" in name else " (looked on the task's PATH)")
    return f"cannot start {name}: {error}"


def _on_signals(stop: asyncio.Event, hurry: asyncio.Event) -> None:
    def asked() -> None:
        (hurry if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for signum in _SIGNALS:
        loop.add_signal_handler(signum, asked)


async def _listen(desk: Desk) -> Callable[[], None]:
    """Hand what comes on stdin to the desk; returns how to stop that."""

    class Listening(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            desk.feed(data)

    try:
        source = os.fdopen(os.dup(sys.stdin.fileno()), "rb", 0)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(Listening, source)
    except (OSError, ValueError, AttributeError):
        return lambda: None  # a file, or nothing: nobody will answer
    return transport.close

"""`qd _drive SPEC`: the command line of all drivers."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Mapping

from lite.drivers.agent import Agent
from lite.drivers.desk import Desk
from lite.drivers.frame import Begin, Conversation, drive
from lite.drivers.lines import Lines
from lite.drivers.spec import BadSpec, Spec, read_spec


def main(argv: list[str]) -> int:
    """The exit code: 0 when the turn went well, 1 when it did not, 2 when there is nothing to drive."""
    logging.basicConfig(level=logging.CRITICAL)  # libraries would repeat on stderr what agents say
    try:
        if len(argv) != 1:
            raise BadSpec("usage: qd _drive SPEC")
        spec = read_spec(argv[0])
        begin = _beginner(spec)
    except BadSpec as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return asyncio.run(drive(spec, begin))


def _beginner(spec: Spec) -> Begin:
    try:
        return _DRIVERS[spec.driver]
    except KeyError:
        raise BadSpec(f"no driver named {spec.driver!r}") from None


# Imported when a conversation begins: signals are taken by then, and libraries load while the agent starts.
def _acp(spec: Spec, agent: Agent, desk: Desk, lines: Lines) -> Conversation:
    from lite.drivers import acp

    return acp.begin(spec, agent, desk, lines)


def _claude(spec: Spec, agent: Agent, desk: Desk, lines: Lines) -> Conversation:
    from lite.drivers import claude

    return claude.begin(spec, agent, desk, lines)


def _opencode(spec: Spec, agent: Agent, desk: Desk, lines: Lines) -> Conversation:
    from lite.drivers import opencode

    return opencode.begin(spec, agent, desk, lines)


def _codex(spec: Spec, agent: Agent, desk: Desk, lines: Lines) -> Conversation:
    from lite.drivers import codex

    return codex.begin(spec, agent, desk, lines)


_DRIVERS: Mapping[str, Begin] = {"acp": _acp, "claude": _claude, "codex": _codex, "opencode": _opencode}

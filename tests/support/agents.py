"""What the scripted agent would print, for fake sessions: its provider then reads it as it reads the real one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from lite.executors.fake import Behaviour
from lite.model.settings import Agent, Settings
from lite.model.task import Outcome, OutcomeKind, Reason
from tests.support.engines import SETTINGS

BOT = Agent("bot", "scripted", mode="headless")
FAILED = Outcome(OutcomeKind.FAILED, Reason.EXIT, exit_code=1)


def with_agents(*agents: Agent, **more: Any) -> Settings:
    return replace(SETTINGS, agents={**SETTINGS.agents, **{agent.name: agent for agent in agents}}, **more)


def said(type_: str, text: str = "", /, **data: Any) -> bytes:
    """One event's line."""
    return json.dumps({"type": type_, "text": text, **data}).encode() + b"\n"


def agent(*lines: bytes, session: str = "c1", outcome: Outcome | None = None, seconds: float = 1.0) -> Behaviour:
    """Says these lines after its conversation's id, and exits with 0 unless `outcome` says otherwise."""
    begun = said("init", session=session) if session else b""
    return Behaviour(outcome or Behaviour().outcome, seconds, prints=((0.0, begun + b"".join(lines)),))


def well(session: str = "c1") -> Behaviour:
    return agent(said("result", "done", ok=True), session=session)


def badly(reason: str, text: str = "", session: str = "c1", **data: Any) -> Behaviour:
    """Ends with a result that tells of a failure."""
    return agent(said("result", text, ok=False, reason=reason, **data), session=session)

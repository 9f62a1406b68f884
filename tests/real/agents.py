"""The agents under test: one row each. A row says how to point the program at a model server, and what differs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Config = Callable[[str, Path], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Row:
    """`config(url, folder)` is its entry under `agents:`; `folder` is for its own files."""

    name: str
    wire: str
    config: Config
    reasons: Mapping[str, str] = field(default_factory=dict)  # case -> the reason, where it is not the usual one
    unlike: Mapping[str, str] = field(default_factory=dict)  # case -> why it cannot be asked of this program
    cost: str = ""  # how its cost is known; "" when it is not
    limited: Config | None = None  # as a subscriber, where there are such

    def __repr__(self) -> str:
        return self.name


def _claude(url: str, folder: Path) -> dict[str, Any]:
    return {
        "provider": "claude",
        "env": {"ANTHROPIC_API_KEY": "dummy-key"},
        "options": {
            "base_url": url,
            "config_dir": str(folder),
            "permission_mode": "acceptEdits",
            "allowed_tools": ["Bash"],
        },
    }


def _claude_subscribed(url: str, folder: Path) -> dict[str, Any]:
    return {**_claude(url, folder), "env": {"CLAUDE_CODE_OAUTH_TOKEN": "dummy-token"}}


def _codex(url: str, folder: Path) -> dict[str, Any]:
    service: dict[str, Any] = {"name": "ours", "base_url": f"{url}/v1", "env_key": "OUR_KEY", "wire_api": "responses"}
    service |= {"request_max_retries": 1, "stream_max_retries": 1}
    return {
        "provider": "codex",
        "model": "model-1",
        "env": {"OUR_KEY": "dummy-key"},
        "options": {
            "config_dir": str(folder),
            "sandbox": "danger-full-access",  # its own sandbox needs what containers do not allow
            "config": {"model_provider": "ours", "model_providers.ours": service},
        },
        "limits": {"retries": 3},  # where nobody answers it waits for the network for ever
    }


def _gemini(url: str, folder: Path) -> dict[str, Any]:
    settings = folder / ".gemini" / "settings.json"
    settings.parent.mkdir(exist_ok=True)
    own = {"security": {"auth": {"selectedType": "gemini-api-key"}}, "general": {"maxAttempts": 2}}
    settings.write_text(json.dumps(own))
    return {
        "provider": "gemini",
        "model": "gemini-2.5-pro",
        "env": {"GEMINI_API_KEY": "dummy-key"},
        "options": {"config_dir": str(folder), "base_url": url, "approval_mode": "yolo", "trust": True},
    }


def _opencode(url: str, folder: Path) -> dict[str, Any]:
    model = {"name": "Model 1", "tool_call": True, "cost": {"input": 1, "output": 2}}
    service = {
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": f"{url}/v1", "apiKey": "dummy-key"},
        "models": {"model-1": {**model, "limit": {"context": 1_000_000, "output": 100_000}}},
    }
    return {
        "provider": "opencode",
        "model": "ours/model-1",
        "options": {"config_dir": str(folder), "auto": True, "config": {"provider": {"ours": service}}},
    }


ROWS: tuple[Row, ...] = (
    Row("claude", "anthropic", _claude, cost="reported", limited=_claude_subscribed),
    Row("codex", "responses", _codex),
    Row("gemini", "gemini", _gemini, cost="estimated"),
    Row("opencode", "completions", _opencode, cost="reported", reasons={"cut": "connection"}),
)


def chosen() -> list[Row]:
    """Those named in REAL_AGENTS, or all."""
    names = os.environ.get("REAL_AGENTS", "").split()
    return [row for row in ROWS if not names or row.name in names]

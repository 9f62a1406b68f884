"""The agents under test: one row each. A row says how to point the program at a model server, and what differs."""

from __future__ import annotations

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
    cost: bool = False  # it reports money
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


ROWS: tuple[Row, ...] = (Row("claude", "anthropic", _claude, cost=True, limited=_claude_subscribed),)


def chosen() -> list[Row]:
    """Those named in REAL_AGENTS, or all."""
    names = os.environ.get("REAL_AGENTS", "").split()
    return [row for row in ROWS if not names or row.name in names]

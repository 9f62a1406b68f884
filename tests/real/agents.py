"""The agents under test: one row each. A row says how to point the program at a model server, and what differs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.real.install import Program, programs

Config = Callable[[str, Path], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Row:
    """`config(url, folder)` is its entry under `agents:`; `folder` is for its own files. `talks`: it is conversed with,
    so that its `options.permissions` may be any policy; it then asks before every command."""

    name: str
    wire: str
    config: Config
    runs: str = ""  # its entry in programs.toml; "": that of its name
    talks: bool = False
    questions: bool = False  # its model has a tool that asks the user
    reasons: Mapping[str, str] = field(default_factory=dict)  # case -> the reason, where it is not the usual one
    rests: Mapping[str, str] = field(default_factory=dict)  # case -> how long it has to rest before a next attempt
    unlike: Mapping[str, str] = field(default_factory=dict)  # case -> why it cannot be asked of this program
    unsaid: frozenset[str] = frozenset()  # what it does not tell: "results" of tools, "tokens" of all but the last call
    cost: str = ""  # how its cost is known; "" when it is not
    limited: Config | None = None  # as a subscriber, where there are such

    def __repr__(self) -> str:
        return self.name

    @property
    def program(self) -> Program:
        return programs()[self.runs or self.name]

    def agents(self, url: str, nowhere: str, folder: Path) -> dict[str, dict[str, Any]]:
        """All under `agents:`: `real`, pointed at the server, `lonely`, pointed at a port where nobody answers,
        `limited`, whose account has limits; of those that talk one for each policy beside."""
        made = {
            "real": self.config(url, _made(folder / "real")),
            "lonely": self.config(nowhere, _made(folder / "lonely")),
        }
        if self.limited is not None:
            made["limited"] = self.limited(url, _made(folder / "limited"))
        for policy in ("ask", "deny", "wait") if self.talks else ():
            made[policy] = with_permissions(self.config(url, _made(folder / policy)), policy)
        return made


def with_permissions(agent: dict[str, Any], policy: str) -> dict[str, Any]:
    more = {"wait_for": "2s"} if policy == "wait" else {}
    return {**agent, "options": {**agent["options"], "permissions": policy, **more}}


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


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


def _claude_two_way(url: str, folder: Path) -> dict[str, Any]:
    options = {"base_url": url, "config_dir": str(folder), "permissions": "allow"}
    return {**_claude(url, folder), "options": options}


def _claude_subscribed(url: str, folder: Path) -> dict[str, Any]:
    return {**_claude(url, folder), "env": {"CLAUDE_CODE_OAUTH_TOKEN": "dummy-token"}}


def _claude_two_way_subscribed(url: str, folder: Path) -> dict[str, Any]:
    return {**_claude_two_way(url, folder), "env": {"CLAUDE_CODE_OAUTH_TOKEN": "dummy-token"}}


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


def _codex_server(url: str, folder: Path) -> dict[str, Any]:
    rules = folder / "rules" / "default.rules"
    rules.parent.mkdir()
    rules.write_text("".join(f'prefix_rule(pattern=["{word}"], decision="prompt")\n' for word in ("touch", "tail")))
    agent = _codex(url, folder)
    return {**agent, "options": {**agent["options"], "permissions": "allow"}}


def _gemini_settings(folder: Path) -> None:
    settings = folder / ".gemini" / "settings.json"
    settings.parent.mkdir(exist_ok=True)
    own = {"security": {"auth": {"selectedType": "gemini-api-key"}}, "general": {"maxAttempts": 2}}
    settings.write_text(json.dumps(own))


def _gemini(url: str, folder: Path) -> dict[str, Any]:
    _gemini_settings(folder)
    return {
        "provider": "gemini",
        "model": "gemini-2.5-pro",
        "env": {"GEMINI_API_KEY": "dummy-key"},
        "options": {"config_dir": str(folder), "base_url": url, "approval_mode": "yolo", "trust": True},
    }


def _gemini_acp(url: str, folder: Path) -> dict[str, Any]:
    _gemini_settings(folder)
    env = {
        "GEMINI_API_KEY": "dummy-key",
        "GEMINI_CLI_HOME": str(folder),
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
        "GOOGLE_GEMINI_BASE_URL": url,
    }
    command = ["gemini", "--acp", "--model", "gemini-2.5-pro"]
    return {"provider": "acp", "env": env, "options": {"command": command, "permissions": "allow"}}


def _opencode_service(url: str) -> dict[str, Any]:
    model = {"name": "Model 1", "tool_call": True, "cost": {"input": 1, "output": 2}}
    return {
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": f"{url}/v1", "apiKey": "dummy-key"},
        "models": {"model-1": {**model, "limit": {"context": 1_000_000, "output": 100_000}}},
    }


def _opencode(url: str, folder: Path) -> dict[str, Any]:
    config = {"provider": {"ours": _opencode_service(url)}}
    return {
        "provider": "opencode",
        "model": "ours/model-1",
        "options": {"config_dir": str(folder), "auto": True, "config": config},
    }


def _opencode_serve(url: str, folder: Path) -> dict[str, Any]:
    agent = _opencode(url, folder)
    kept = {key: value for key, value in agent["options"].items() if key != "auto"}
    return {**agent, "options": {**kept, "permissions": "allow"}}


def _opencode_acp(url: str, folder: Path) -> dict[str, Any]:
    config = {
        "provider": {"ours": _opencode_service(url)},
        "model": "ours/model-1",
        "permission": {"edit": "ask", "bash": "ask"},
    }
    env = {f"XDG_{name.upper()}_HOME": str(folder / name) for name in ("config", "data", "state", "cache")}
    env |= {"OPENCODE_CONFIG_CONTENT": json.dumps(config), "OPENCODE_DISABLE_AUTOUPDATE": "1"}
    env |= {"OPENCODE_DISABLE_MODELS_FETCH": "1"}
    return {"provider": "acp", "env": env, "options": {"command": ["opencode", "acp"], "permissions": "allow"}}


ROWS: tuple[Row, ...] = (
    Row("claude", "anthropic", _claude, cost="reported", limited=_claude_subscribed),
    Row(
        "claude-two-way",
        "anthropic",
        _claude_two_way,
        runs="claude",
        talks=True,
        cost="reported",
        limited=_claude_two_way_subscribed,
        questions=True,
    ),
    Row("codex", "responses", _codex),
    Row("codex-server", "responses", _codex_server, runs="codex", talks=True),
    Row("gemini", "gemini", _gemini, cost="estimated"),
    Row("opencode", "completions", _opencode, cost="reported", reasons={"cut": "connection"}),
    Row(
        "opencode-serve",
        "completions",
        _opencode_serve,
        runs="opencode",
        talks=True,
        reasons={"cut": "connection"},
        cost="reported",
    ),
    Row(
        "gemini-acp",
        "gemini",
        _gemini_acp,
        runs="gemini",
        talks=True,
        unsaid=frozenset({"results"}),
        # it names the file of a conversation for the minute, and loading it in that minute writes over it
        rests=dict.fromkeys(("goes_on_with_its_conversation", "the_program_is_killed_and_the_next_goes_on"), "61s"),
    ),
    Row(
        "opencode-acp",
        "completions",
        _opencode_acp,
        runs="opencode",
        talks=True,
        reasons={"cut": "connection", "denied": "tool-refused"},
        unsaid=frozenset({"tokens"}),
        cost="reported",
    ),
)


def chosen() -> list[Row]:
    """Those named in REAL_AGENTS, or all."""
    names = os.environ.get("REAL_AGENTS", "").split()
    return [row for row in ROWS if not names or row.name in names]

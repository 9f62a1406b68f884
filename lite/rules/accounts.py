"""Whose login and limits an agent uses, and which of them are held. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from lite.model.event import Event, EventKind
from lite.model.settings import Agent

ACCOUNTS = "accounts"  # the `run` of the events about accounts: they are few among many
MAX_MESSAGE = 500  # characters

_PLACES = ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "GEMINI_CLI_HOME")


def account_of(agent: Agent) -> str:
    """As configured; else the provider's name, with the directory of its configuration and the host of its models where
    the agent has others than the usual: `claude`, `claude:/srv/bot`, `claude@models.example:8080`."""
    if agent.account:
        return agent.account
    options, env = agent.options, sorted(agent.env.items())
    place = str(options.get("config_dir") or next((value for name, value in env if name in _PLACES and value), ""))
    endpoint = options.get("base_url") or next(
        (value for name, value in env if name.endswith("_BASE_URL") and value), ""
    )
    host = _host(str(endpoint))
    return agent.provider + (f":{place}" if place else "") + (f"@{host}" if host else "")


def _host(url: str) -> str:
    """Without what may be a secret."""
    try:
        return urlsplit(url if "//" in url else f"//{url}").netloc.rpartition("@")[2]
    except ValueError:
        return "unreadable"


@dataclass(frozen=True, slots=True)
class Hold:
    """No task of the account is started before `until` (ms), or (None) before somebody has acted."""

    account: str
    reason: str
    message: str
    since: int
    until: int | None = None
    worker: str = ""  # where it was seen


class Gate:
    """The accounts that are held, folded from the event log. Where the log was trimmed a hold may be forgotten: then
    one more attempt finds out, and says so again. `changed` is called after each change."""

    def __init__(self) -> None:
        self.cursor = 0
        self.changed: Callable[[], None] = lambda: None
        self._holds: dict[str, Hold] = {}

    def __repr__(self) -> str:
        return f"<Gate {sorted(self._holds) or 'open'}>"

    def fold(self, events: Iterable[Event]) -> None:
        """In order of their cursors; those folded before are passed over."""
        before = dict(self._holds)
        for event in events:
            if event.cursor <= self.cursor:
                continue
            self.cursor = event.cursor
            account = str(event.data.get("account", ""))
            if event.kind is EventKind.ACCOUNT_RELEASED:
                self._holds.pop(account, None)
            elif event.kind is EventKind.ACCOUNT_HELD:
                until = event.data.get("until")
                self._holds[account] = Hold(
                    account,
                    str(event.data.get("reason", "")),
                    str(event.data.get("message", "")),
                    event.at,
                    until if isinstance(until, int) else None,
                    event.worker,
                )
        if before != self._holds:
            self.changed()

    def on(self, agent: Agent | None, now: int) -> Hold | None:
        """What holds this agent's tasks at this moment."""
        return self.of(account_of(agent), now) if agent is not None and agent.gate else None

    def of(self, account: str, now: int) -> Hold | None:
        hold = self._holds.get(account)
        return hold if hold is not None and (hold.until is None or hold.until > now) else None

    def holds(self, now: int) -> list[Hold]:
        return [hold for account in sorted(self._holds) if (hold := self.of(account, now)) is not None]

    def next_opening(self, now: int) -> int | None:
        """The next time (ms) at which one opens by itself."""
        return min((hold.until for hold in self.holds(now) if hold.until is not None), default=None)

    def adds(self, account: str, until: int | None, now: int) -> bool:
        """Would a hold until then hold longer than what holds now?"""
        hold = self.of(account, now)
        return hold is None or (hold.until is not None and (until is None or until > hold.until))

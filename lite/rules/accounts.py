"""Whose login and limits an agent uses, and which of them are held. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from lite.model.event import Event, EventKind
from lite.model.settings import Agent
from lite.rules.spelling import listing
from providers.base import Failure

ACCOUNTS = "accounts"  # the `run` of the events about accounts: they are few among many
MAX_MESSAGE = 500  # characters
# limits are the account's; a login is there on one machine or another
OF_A_MACHINE = frozenset({Failure.NOT_LOGGED_IN})

_PLACES = ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "GEMINI_CLI_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "HOME")


def account_of(agent: Agent) -> str:
    """As configured; else the provider's name, with the directory of its configuration and the host of its models where
    the agent has others than the usual: `claude`, `claude:/srv/bot`, `claude@models.example:8080`, `acp/gemini`."""
    if agent.account:
        return agent.account
    options = agent.options
    more = options.get("env")
    env = {**agent.env, **(more if isinstance(more, dict) else {})}
    place = str(options.get("config_dir") or next((env[name] for name in _PLACES if env.get(name)), ""))
    endpoints = (env[name] for name in sorted(env) if name.endswith("_BASE_URL") and env[name])
    host = _host(str(options.get("base_url") or next(endpoints, "")))
    parts = (("/", _program(options.get("command"))), (":", place), ("@", host))
    return agent.provider + "".join(mark + part for mark, part in parts if part)


def _program(command: object) -> str:
    """Of an agent that is started by a command, whose provider may be that of many."""
    words = command.split() if isinstance(command, str) else command
    first = words[0] if isinstance(words, list) and words else ""
    return posixpath.basename(first)[:60] if isinstance(first, str) else ""


def _host(url: str) -> str:
    """Without what may be a secret."""
    try:
        return urlsplit(url if "//" in url else f"//{url}").netloc.rpartition("@")[2]
    except ValueError:
        return "unreadable"


@dataclass(frozen=True, slots=True)
class Hold:
    """No task of the account is started before `until` (ms), or (None) before somebody has acted: nowhere, or (`local`)
    not on the machine where that was seen."""

    account: str
    reason: str
    message: str
    since: int
    until: int | None = None
    worker: str = ""  # who saw it
    node: str = ""  # and where

    @property
    def local(self) -> bool:
        return self.reason in OF_A_MACHINE and self.node != ""


class Gate:
    """The accounts that are held, folded from the event log. Where the log was trimmed a hold may be forgotten: then
    one more attempt finds out, and says so again. `changed` is called after each change."""

    def __init__(self) -> None:
        self.cursor = 0
        self.changed: Callable[[], None] = lambda: None
        self._holds: dict[tuple[str, str], Hold] = {}  # by account and the node concerned, "" for all

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
                self._release(account, event.data.get("node"))
            elif event.kind is EventKind.ACCOUNT_HELD:
                until = event.data.get("until")
                hold = Hold(
                    account,
                    str(event.data.get("reason", "")),
                    str(event.data.get("message", "")),
                    event.at,
                    until if isinstance(until, int) else None,
                    event.worker,
                    str(event.data.get("node", "")),
                )
                self._holds[account, hold.node if hold.local else ""] = hold
        if before != self._holds:
            self.changed()

    def _release(self, account: str, node: object) -> None:
        """`node` None: everywhere."""
        for key in [key for key in self._holds if key[0] == account and node in (None, key[1])]:
            del self._holds[key]

    def on(self, agent: Agent | None, now: int, node: str) -> Hold | None:
        """What keeps this machine's workers from this agent's tasks at this moment."""
        return self.of(account_of(agent), now, node) if agent is not None and agent.gate else None

    def keeping(self, agent: Agent | None, now: int, nodes: Collection[str]) -> Hold | None:
        """What keeps all these machines from it: a hold on the account, or one on each of them, told as one."""
        if agent is None or not agent.gate:
            return None
        account = account_of(agent)
        found = [self.of(account, now, node) for node in nodes] or [self.of(account, now)]
        holds = [hold for hold in found if hold is not None]
        if not holds or len(holds) < len(found):
            return None
        return replace(holds[0], node=listing(hold.node for hold in holds)) if holds[0].local else holds[0]

    def of(self, account: str, now: int, node: str = "") -> Hold | None:
        """A hold on the account; else the machine's own."""
        for key in ((account, ""), (account, node)):
            hold = self._holds.get(key)
            if hold is not None and (hold.until is None or hold.until > now):
                return hold
        return None

    def holds(self, now: int) -> list[Hold]:
        return [hold for key in sorted(self._holds) if (hold := self._holds[key]).until is None or hold.until > now]

    def next_opening(self, now: int) -> int | None:
        """The next time (ms) at which one opens by itself."""
        return min((hold.until for hold in self.holds(now) if hold.until is not None), default=None)

    def adds(self, new: Hold, now: int) -> bool:
        """Would it hold longer than what holds now?"""
        hold = self.of(new.account, now, new.node if new.local else "")
        return hold is None or (hold.until is not None and (new.until is None or new.until > hold.until))

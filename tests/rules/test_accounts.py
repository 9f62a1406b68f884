"""Whose account an agent uses, and which are held."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite.model.event import Event, EventKind
from lite.model.settings import Agent
from lite.rules.accounts import Gate, Hold, account_of

CLAUDE = Agent("dev", "claude")


@pytest.mark.parametrize(
    ("agent", "account"),
    [
        (CLAUDE, "claude"),
        (replace(CLAUDE, name="other", model="big"), "claude"),
        (replace(CLAUDE, options={"config_dir": "/srv/bot"}), "claude:/srv/bot"),
        (replace(CLAUDE, env={"CLAUDE_CONFIG_DIR": "/srv/bot"}), "claude:/srv/bot"),
        (replace(CLAUDE, options={"base_url": "http://user:secret@h:8/v1?key=k"}), "claude@h:8"),
        (replace(CLAUDE, env={"ANTHROPIC_BASE_URL": "https://h", "JAVA_HOME": "/j"}), "claude@h"),
        (replace(CLAUDE, account="team", options={"config_dir": "/srv/bot"}), "team"),
        (replace(CLAUDE, options={"base_url": "http://[bad"}), "claude@unreadable"),
        (Agent("g", "acp", options={"command": ["/opt/bin/gemini", "--acp"]}), "acp/gemini"),
        (Agent("o", "acp", options={"command": "opencode acp"}, env={"XDG_DATA_HOME": "/a"}), "acp/opencode:/a"),
        (Agent("o", "acp", options={"command": ["x"], "env": {"A_BASE_URL": "http://h"}}), "acp/x@h"),
        (Agent("o", "acp", options={"command": 5, "env": []}), "acp"),
    ],
)
def test_an_account_is_a_provider_a_place_and_an_endpoint_unless_it_is_named(agent: Agent, account: str) -> None:
    assert account_of(agent) == account
    assert "secret" not in account


def event(cursor: int, account: str, until: int | None, *, held: bool) -> Event:
    kind = EventKind.ACCOUNT_HELD if held else EventKind.ACCOUNT_RELEASED
    data = {"account": account, "reason": "billing"} | ({} if until is None else {"until": until})
    return Event(kind, cursor, data=data, cursor=cursor)


steps = st.tuples(st.sampled_from("ab"), st.none() | st.integers(0, 50), st.booleans())


@given(st.lists(steps, max_size=12), st.integers(0, 60), st.integers(0, 12))
def test_the_last_word_counts_however_the_log_is_read(
    log: list[tuple[str, int | None, bool]], now: int, cut: int
) -> None:
    events = [event(at, account, until, held=held) for at, (account, until, held) in enumerate(log, 1)]
    whole, parts = Gate(), Gate()
    whole.fold(events)
    parts.fold(events[:cut])
    parts.fold(events)  # read again from the beginning
    for account in "ab":
        last = next((one for one in reversed(log) if one[0] == account), None)
        is_held = last is not None and last[2] and (last[1] is None or last[1] > now)
        assert (whole.of(account, now) is not None) == (parts.of(account, now) is not None) == is_held


def hold(until: int | None, reason: str = "billing", node: str = "") -> Hold:
    return Hold("a", reason, "", 0, until, node=node)


def test_a_hold_that_holds_no_longer_is_not_said_twice() -> None:
    gate = Gate()
    gate.fold([event(1, "a", 50, held=True)])
    assert not gate.adds(hold(40), 10)
    assert gate.adds(hold(60), 10)
    assert gate.adds(hold(None), 10)
    assert gate.adds(hold(40), 50), "it is over"
    assert not gate.adds(hold(40, "not-logged-in", "n1"), 10), "nobody works on it, logged in or not"
    assert gate.next_opening(10) == 50
    assert gate.next_opening(50) is None


def logged_out(cursor: int, node: str) -> Event:
    data = {"account": "claude", "reason": "not-logged-in", "node": node}
    return Event(EventKind.ACCOUNT_HELD, cursor, data=data, cursor=cursor, worker=f"worker-of-{node}")


def test_a_login_that_is_missing_is_missing_on_one_machine() -> None:
    gate = Gate()
    gate.fold([logged_out(1, "n1")])
    assert gate.on(CLAUDE, 5, "n1") is not None
    assert gate.on(CLAUDE, 5, "n2") is None
    assert gate.of("claude", 5) is None
    assert gate.keeping(CLAUDE, 5, ["n1", "n2"]) is None, "n2 does it"
    assert gate.keeping(CLAUDE, 5, []) is None, "that nobody is there is another reason"
    gate.fold([logged_out(2, "n2")])
    keeping = gate.keeping(CLAUDE, 5, ["n1", "n2"])
    assert keeping is not None
    assert (keeping.node, keeping.local) == ("n1, n2", True)
    assert not gate.adds(Hold("claude", "not-logged-in", "", 9, node="n1"), 9)
    assert gate.adds(Hold("claude", "not-logged-in", "", 9, node="n3"), 9)
    assert gate.adds(Hold("claude", "usage-limit", "", 9, 50, node="n1"), 9)


def test_a_login_is_there_again_where_it_is_and_a_release_is_everywhere() -> None:
    gate = Gate()
    gate.fold([logged_out(1, "n1"), logged_out(2, "n2"), logged_out(3, "n3")])
    gate.fold([Event(EventKind.ACCOUNT_RELEASED, 4, data={"account": "claude", "node": "n1"}, cursor=4)])
    assert [one.node for one in gate.holds(5)] == ["n2", "n3"]
    gate.fold([Event(EventKind.ACCOUNT_RELEASED, 5, data={"account": "claude"}, cursor=5)])
    assert gate.holds(5) == []


def test_an_event_that_does_not_say_where_is_about_all() -> None:
    gate = Gate()
    gate.fold([logged_out(1, "")])
    assert gate.on(CLAUDE, 5, "anywhere") is not None


def test_who_has_no_gate_is_never_held() -> None:
    gate = Gate()
    gate.fold([event(1, "claude", None, held=True)])
    assert gate.on(CLAUDE, 5, "n") is not None
    for agent in (replace(CLAUDE, gate=False), None):
        assert gate.on(agent, 5, "n") is None
        assert gate.keeping(agent, 5, ["n"]) is None

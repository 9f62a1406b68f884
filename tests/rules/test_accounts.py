"""Whose account an agent uses, and which are held."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite.model.event import Event, EventKind
from lite.model.settings import Agent
from lite.rules.accounts import Gate, account_of

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


def test_a_hold_that_holds_no_longer_is_not_said_twice() -> None:
    gate = Gate()
    gate.fold([event(1, "a", 50, held=True)])
    assert not gate.adds("a", 40, 10)
    assert gate.adds("a", 60, 10)
    assert gate.adds("a", None, 10)
    assert gate.adds("a", 40, 50), "it is over"
    assert gate.next_opening(10) == 50
    assert gate.next_opening(50) is None


def test_who_has_no_gate_is_never_held() -> None:
    gate = Gate()
    gate.fold([event(1, "claude", None, held=True)])
    assert gate.on(CLAUDE, 5) is not None
    assert gate.on(replace(CLAUDE, gate=False), 5) is None
    assert gate.on(None, 5) is None

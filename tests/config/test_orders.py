"""A task's order from bytes that anybody may have written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lite.config.orders import MAX_VALUES, read_order
from lite.errors import UsageError
from lite.model.letter import MAX_LETTER
from lite.model.order import Order
from providers.base import HttpCall


def refusal(payload: bytes | str | dict[str, Any]) -> UsageError:
    if isinstance(payload, dict):
        payload = json.dumps(payload)
    with pytest.raises(UsageError) as caught:
        read_order(payload.encode() if isinstance(payload, str) else payload)
    return caught.value


def test_everything_that_can_be_said() -> None:
    said = {
        "name": "a", "agent": "dev", "type": "t", "trigger": "x", "prompt": "p", "needs": ["n"], "lane": "l",
        "touches": ["src/**"], "priority": 1, "timeout_ms": 2, "idle_timeout_ms": None, "retries": 3,
        "on_failure": "continue", "mode": "interactive", "env": {"A": "b"}, "cwd": "/c", "team": "m",
        "secrets": {"S": "s"},
        "selector": {"gpu": "1"}, "affinity": "prefer-spread", "strategy": "local", "complexity": "c", "key": "k",
        "delay_ms": 4, "watched": True,
        "command": ["ls", "-l"], "http": {"url": "http://x/", "method": "GET", "max_bytes": 5,
        "secrets": {"X": "s"}},
    }  # fmt: skip
    expected: dict[str, Any] = said | {
        "needs": ("n",), "touches": ("src/**",), "command": ("ls", "-l"),
        "http": HttpCall("http://x/", "GET", max_bytes=5, secrets={"X": "s"}),
    }  # fmt: skip
    assert read_order(json.dumps(said).encode()) == Order(**expected)
    assert set(said) == set(Order.__dataclass_fields__) - {"places"}


def test_what_is_left_out_is_not_said() -> None:
    assert read_order(b"{}") == Order()
    assert read_order(b'{"command": "make test"}') == Order(command=("sh", "-c", "make test"))


@pytest.mark.parametrize(
    ("payload", "place", "words"),
    [
        (b"", "", "not JSON: Expecting value, line 1 column 1"),
        (b"\xff", "", "not UTF-8 (byte 0)"),
        (b'{"prompt": "\xc3"}', "", "not UTF-8 (byte 12)"),
        ('{"prompt": "x"}'.encode("utf-16"), "", "not UTF-8"),
        (b'\xef\xbb\xbf{"prompt": "x"}', "", "not JSON"),
        (b"[]", "", "a JSON object, not a list"),
        (b"null", "", "a JSON object, not null"),
        (b'"text"', "", "a JSON object, not text"),
        (b"1.5", "", "a JSON object, not a number"),
        (b"{} {}", "", "not JSON: Extra data, line 1 column 4"),
        (b'{"priority": NaN}', "", "NaN is no number"),
        (b'{"priority": -Infinity}', "", "-Infinity is no number"),
        (b'{"prompt": "a", "prompt": "b"}', "prompt", "the key 'prompt' is there twice"),
        (b'{"env": {"A": "1", "A": "2"}}', "A", "the key 'A' is there twice"),
        (b'{"\\u001b[31m": 1, "\\u001b[31m": 2}', "", r"the key '\x1b[31m' is there twice"),
        (b'{"promt": "x"}', "promt", "unknown key 'promt', did you mean 'prompt'?"),
        (b'{"http": {"url": "x", "metod": "GET"}}', "http.metod", "unknown key 'metod', did you mean 'method'?"),
        (b'{"\\u001b]0;x": 1}', "", r"unknown key '\x1b]0;x'"),
        (b'{"prompt": 1}', "prompt", "should be a valid string"),
        (b'{"priority": "1"}', "priority", "should be a valid integer"),
        (b'{"priority": true}', "priority", "should be a valid integer"),
        (b'{"priority": 1e400}', "priority", "should be a valid integer"),
        (b'{"priority": 9007199254740993}', "priority", "the number is too large"),
        (b'{"priority": ' + b"9" * 5000 + b"}", "", "a number with thousands of digits"),
        (b'{"needs": "a"}', "needs", "should be a valid list"),
        (b'{"needs": ["a", 1]}', "needs[1]", "should be a valid string"),
        (b'{"command": {"a": 1}}', "command", "should be a valid string"),
        (b'{"http": {}}', "http.url", "Field required"),
        (b'{"mode": "loud"}', "mode", "'headless'"),
        (b'{"prompt": "a\\u0000b"}', "prompt", "a NUL character"),
        (b'{"prompt": "\\ud800"}', "prompt", "not valid Unicode"),
        (b'{"env": {"\\ud800": "x"}}', "env", "not valid Unicode"),
        (b"[" * 5000 + b"]" * 5000, "", "nested too deeply"),
        (b'{"env":' * 5000 + b"1" + b"}" * 5000, "", "nested too deeply"),
        (b"[" * MAX_LETTER, "", "nested too deeply"),
        (b" " * MAX_LETTER + b"{}", "", "over 2 MiB"),
    ],
)
def test_what_is_refused(payload: bytes, place: str, words: str) -> None:
    error = refusal(payload)
    assert words in error.message
    assert error.place == place
    assert error.message.isprintable()
    assert len(error.message) < 300


def test_a_million_mistakes_are_not_all_complained_of() -> None:
    assert "holds more than 20,000 values" in refusal({"needs": [1] * 500_000}).message
    assert refusal({"needs": [1] * (MAX_VALUES - 10)}).place == "needs[0]"


def test_depth_that_can_be_parsed_is_refused_too() -> None:
    deep = '{"http":' * 300 + "1" + "}" * 300
    assert refusal(deep).place.startswith("http.")


def test_a_key_as_long_as_a_letter_is_not_repeated() -> None:
    key = "k" * 1_000_000
    for payload in ({key: 1}, f'{{"{key}": 1, "{key}": 2}}', {"http": {"url": "x", key: 1}}):
        assert len(str(refusal(payload))) < 300

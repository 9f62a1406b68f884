"""An ACP agent asks its user: each field is a question, answered in words, and the agent gets values of the right kind.
What it was not offered (files, terminals) it does not get."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from providers.base import EventKind, Failure
from tests.drivers.driving import Driving, driving

NAME = {"type": "string", "title": "Name", "description": "of the branch", "minLength": 2, "maxLength": 8}
COLOUR = {"type": "string", "oneOf": [{"const": "r", "title": "red"}, {"const": "b", "title": "blue"}]}
PARTS = {"type": "array", "items": {"type": "string", "enum": ["api", "ui", "db"]}, "minItems": 1, "maxItems": 2}


def form(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties}
    schema["required"] = list(properties) if required is None else required
    return {"mode": "form", "message": "Before I begin", "requestedSchema": schema}


def asking(folder: Path, *asks: dict[str, Any], scenario: str = "asks", **options: Any) -> Any:
    return driving(folder, scenario, options={"env": {"ASKS": json.dumps(asks)}, **options})


def got(driver: Driving) -> list[Any]:
    return [note["answer"] for note in driver.notes if note["what"] == "asked"]


def test_it_says_that_its_user_can_be_asked(tmp_path: Path) -> None:
    with driving(tmp_path, "ok") as driver:
        driver.finish()
    can = driver.noted("initialize")["params"]["clientCapabilities"]
    assert can["elicitation"] == {"form": {}, "url": {}}
    assert can["terminal"] is False


@pytest.mark.parametrize(
    ("schema", "said", "value"),
    [
        (NAME, "main", "main"),
        (COLOUR, "blue", "b"),
        (COLOUR, "r", "r"),
        ({"type": "string", "enum": ["x", "y"]}, "y", "y"),
        ({"type": "integer", "minimum": -5, "maximum": 70}, "-3", -3),
        ({"type": "number"}, "2.5", 2.5),
        ({"type": "boolean"}, "yes", True),
        ({"type": "boolean"}, "false", False),
        (PARTS, "ui, api", ["ui", "api"]),
    ],
)
def test_a_field_is_a_question_and_the_answer_has_its_type(
    tmp_path: Path, schema: dict[str, Any], said: str, value: Any
) -> None:
    with asking(tmp_path, form(it=schema)) as driver:
        asked = driver.until(EventKind.NEEDS_USER)
        assert asked["data"]["kind"] == "question"
        assert asked["text"].startswith(f"Before I begin\n{schema.get('title', 'it')}")
        driver.answer(asked, "answer", said)
        assert driver.finish().ok
    assert got(driver) == [{"action": "accept", "content": {"it": value}}]


def test_all_a_person_must_know_is_asked(tmp_path: Path) -> None:
    usual = {**PARTS, "default": ["api"]}
    with asking(tmp_path, form(["name"], name=NAME, parts=usual, colour=COLOUR)) as driver:
        texts = []
        for said in ("main", "-", "red"):
            asked = driver.until(EventKind.NEEDS_USER)
            texts.append(asked["text"].splitlines())
            driver.answer(asked, "answer", said)
        assert driver.finish().ok
    bounds = "text (characters at least 2, characters at most 8)"
    assert texts[0] == ["Before I begin", "Name (1 of 3)", "of the branch", bounds]
    assert texts[1][1:3] == [
        "parts (2 of 3)",
        "some of these, with commas between them: api, ui, db (at least 1, at most 2)",
    ]
    assert texts[1][3:] == ["- leaves it out", 'usual: ["api"]']
    assert texts[2][2] == "one of: red, blue"
    assert got(driver) == [{"action": "accept", "content": {"name": "main", "colour": "r"}}]


@pytest.mark.parametrize(
    ("schema", "wrong", "why", "right"),
    [
        (NAME, "x", "it has 1 characters", "main"),
        (NAME, "x" * 9, "it has 9 characters", "main"),
        ({"type": "integer"}, "1.5", "'1.5' is no number without a fraction", "1"),
        ({"type": "integer", "maximum": 3}, "4", "4 is out of bounds", "1"),
        ({"type": "number"}, "nan", "nan is out of bounds", "1"),
        ({"type": "number"}, "many", "'many' is no number", "1"),
        (PARTS, "api, ui, db", "these are 3", "ui"),
        (PARTS, "api, gui", "'gui' is none of them", "ui"),
        (PARTS, ",", "these are 0", "ui"),
    ],
)
def test_what_does_not_fit_is_asked_again(
    tmp_path: Path, schema: dict[str, Any], wrong: str, why: str, right: str
) -> None:
    with asking(tmp_path, form(it=schema)) as driver:
        first = driver.until(EventKind.NEEDS_USER)
        driver.answer(first, "answer", wrong)
        second = driver.until(EventKind.NEEDS_USER)
        assert second["text"].endswith(f"\nnot that: {why}")
        assert second["data"]["hash"] != first["data"]["hash"], "an answer to the first is none to this"
        driver.answer(second, "answer", right)
        driver.finish()
    assert got(driver)[0]["action"] == "accept"


def test_a_choice_is_one_of_those_there_are(tmp_path: Path) -> None:
    with asking(tmp_path, form(it=COLOUR)) as driver:
        asked = driver.until(EventKind.NEEDS_USER)
        driver.answer(asked, "answer", "green")
        assert driver.until(EventKind.UNKNOWN, refused=asked["data"]["id"])["data"]["why"] == "no such answer"
        driver.answer(asked, "answer", "blue")
        driver.finish()
    assert got(driver) == [{"action": "accept", "content": {"it": "b"}}]


@pytest.mark.parametrize(("decision", "action"), [("allow", "accept"), ("deny", "decline")])
def test_a_form_without_fields_is_a_yes_or_a_no(tmp_path: Path, decision: str, action: str) -> None:
    with asking(tmp_path, form()) as driver:
        asked = driver.until(EventKind.NEEDS_USER)
        assert (asked["data"]["kind"], asked["text"]) == ("approval", "Before I begin")
        driver.answer(asked, decision)
        driver.finish()
    assert got(driver)[0]["action"] == action


def test_an_address_to_open(tmp_path: Path) -> None:
    url = "https://login.example.com/x?y=1"
    with asking(tmp_path, {"mode": "url", "message": "Log in", "elicitationId": "e1", "url": url}) as driver:
        asked = driver.until(EventKind.NEEDS_USER)
        assert asked["text"] == f"Log in\n{url}\nopen it, and answer: done"
        driver.answer(asked, "answer", "done")
        driver.finish()
    assert got(driver) == [{"action": "accept"}]


@pytest.mark.parametrize(
    "asked",
    [
        form(it={"type": "object"}),
        form(it={"type": "array", "items": {"type": "_of_a_later_version"}}),
        form(it={"type": "string", "enum": []}),
        form(["gone"], it=NAME),
        form(**{f"f{number}": NAME for number in range(21)}),
        {"mode": "url", "message": "m", "url": "javascript:alert(1)"},
        {"mode": "_other", "message": "m"},
    ],
    ids=["object", "items", "no-choice", "no-field", "too-many", "no-address", "mode"],
)
def test_what_nobody_can_answer_is_declined(tmp_path: Path, asked: dict[str, Any]) -> None:
    with asking(tmp_path, asked) as driver:
        assert driver.finish().ok
    assert got(driver) == [{"action": "decline"}]
    assert "needs_user" not in driver.kinds()


def test_fields_of_every_wrong_shape_hurt_nobody(tmp_path: Path) -> None:
    shapes: list[Any] = [None, 7, "x", [], {}, [[]], {"type": 3}, {"type": "string", "enum": 5, "title": []}, True]
    asks = [{"mode": "form", "message": shape, "requestedSchema": shape} for shape in shapes]
    asks += [{"requestedSchema": {"properties": shape, "required": shape}} for shape in shapes]
    asks += [{"requestedSchema": {"properties": {"a": shape}, "required": ["a"]}} for shape in shapes]
    with asking(tmp_path, *asks, permissions="deny") as driver:
        assert driver.finish().ok
    assert {one["action"] for one in got(driver)} == {"decline"}
    assert len(got(driver)) == len(asks)


def test_nobody_is_there_to_answer(tmp_path: Path) -> None:
    with asking(tmp_path, form(it=NAME), form(), permissions="allow") as driver:
        assert driver.finish().ok
    assert [one["action"] for one in got(driver)] == ["decline", "accept"], (
        "all that can be said without anybody is yes"
    )


def test_waiting_for_an_answer_has_an_end(tmp_path: Path) -> None:
    with asking(tmp_path, form(it=NAME), permissions="wait", wait_for=0.2) as driver:
        assert driver.finish().ok
    assert got(driver) == [{"action": "decline"}]


def test_a_question_is_taken_back_when_the_turn_is_cancelled(tmp_path: Path) -> None:
    with asking(tmp_path, form(it=NAME)) as driver:
        driver.until(EventKind.NEEDS_USER)
        driver.interrupt(signal.SIGINT)
        verdict = driver.finish()
    assert verdict.reason is Failure.CANCELLED
    assert got(driver) == [{"action": "cancel"}]


@pytest.mark.slow
def test_a_person_may_take_longer_than_a_login(tmp_path: Path) -> None:
    """The time an agent has for a step does not run while it waits for its user."""
    options = {"auth_method": "sso", "permissions": "wait", "wait_for": 6, "env": {"ASKS": json.dumps([form(it=NAME)])}}
    with driving(tmp_path, "asks-first", options=options, quick={"start_ms": 5_000}) as driver:
        assert driver.finish().ok
    assert got(driver) == [{"action": "decline"}]


def test_it_gets_no_terminal_and_its_pictures_are_named(tmp_path: Path) -> None:
    with driving(tmp_path, "terminals") as driver:
        verdict = driver.finish()
    answers = [note["answer"] for note in driver.notes if note["what"] == "terminal"]
    assert [one["error"]["code"] for one in answers] == [-32601] * 5
    assert not (tmp_path / "made").exists()
    assert verdict.ok
    assert [line["text"] for line in driver.lines if line["kind"] == "message"] == ["On it.[image]", "Drawn."]
    assert next(line["text"] for line in driver.lines if line["kind"] == "tool_result") == "[image]"

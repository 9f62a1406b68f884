"""Scripts: every verb can be written, every mistake is named with its file and line."""

from __future__ import annotations

import pytest

from lite.scripted.player import Player
from lite.scripted.script import VERBS, ScriptError, read_script


def mistake(text: str) -> str:
    with pytest.raises(ScriptError) as error:
        read_script(text, "a.yaml")
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("", "a.yaml:1:", "mapping"),
        ("just words", "a.yaml:1:", "mapping"),
        ("steps: [", "a.yaml:1:", ""),
        ("steps:\n- say: a\n  b: c: d\n", "a.yaml:3:", "mapping values"),
        ("name: x\n", "a.yaml:1:", "steps"),
        ("steps: 5\n", "a.yaml:1:", "list"),
        ("stps:\n- say: x\n", "a.yaml:1:", "'stps'"),
        ("steps:\n- say: x\n- sya: y\n", "a.yaml:3:", "sya"),
        ("steps:\n- 5\n", "a.yaml:2:", "step"),
        ("steps:\n- say: x\n  dealy: 1\n", "a.yaml:3:", "'dealy'"),
        ("steps:\n- say: [x]\n", "a.yaml:2:", "str"),
        ("steps:\n- sleep: soon\n", "a.yaml:2:", "int or float"),
        ("steps:\n- sleep: true\n", "a.yaml:2:", "int or float"),
        ("steps:\n- say\n", "a.yaml:2:", "value"),
        ("steps:\n- repeat: 2\n", "a.yaml:2:", "needs steps"),
        ("steps:\n- repeat: 2\n  steps:\n  - say: x\n  - oops: y\n", "a.yaml:5:", "oops"),
        ("steps:\n- say: x\n  say: y\n", "a.yaml:3:", "twice"),
        ("steps:\n- say: *nowhere\n", "a.yaml:2:", "alias"),
        ("steps:\n- say: !!python/object/apply:os.system [id]\n", "a.yaml:2:", ""),
        ("pace: fast\nsteps:\n- say: x\n", "a.yaml:1:", "pace"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, place: str, words: str) -> None:
    message = mistake(text)
    assert message.startswith(place)
    assert words in message


def test_every_verb_can_be_played() -> None:
    for verb in VERBS:
        assert callable(getattr(Player, f"_do_{verb}")), verb


def test_a_bare_list_is_a_script_and_a_bare_word_a_step() -> None:
    script = read_script("- say: 42\n- hang\n", "a.yaml")
    assert [(step.verb, step.value, step.place) for step in script.steps] == [
        ("say", "42", "a.yaml:1"),
        ("hang", None, "a.yaml:2"),
    ]


def test_json_is_a_script_too() -> None:
    script = read_script('{"steps": [{"repeat": 2, "steps": [{"say": "x"}]}], "pace": 0}', "a.json")
    assert script.pace == 0
    assert script.steps[0].steps[0].value == "x"

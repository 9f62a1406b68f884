"""The one expression of prompts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite.errors import InvalidTask
from lite.rules.prompt import references, render_prompt
from tests.rules.making import names


@given(st.text())
def test_a_prompt_without_the_expression_is_left_alone(text: str) -> None:
    if "needs." not in text:
        assert render_prompt(text, {}) == text


@given(names, st.text(), st.text(), st.text())
def test_the_output_stands_in_place_of_the_expression_and_is_not_expanded_again(
    name: str, before: str, output: str, after: str
) -> None:
    if "{" in before + after:
        return
    output = "{{ needs.other.output }}" + output
    assert render_prompt(before + "{{ needs." + name + ".output }}" + after, {name: output}) == before + output + after


@pytest.mark.parametrize("text", ["{{needs.a.b.output}}", "{{  needs.a.b.output\n}}"])
def test_names_with_dots_and_any_spaces(text: str) -> None:
    assert references(f"x {text} y {text}") == ("a.b",)


@pytest.mark.parametrize(
    "text", ["${{ x }}", "{{ user.name }}", "{ needs.a.output }", "f'{{{x}}}'", "{% if needs.a %}", "{{need.a.output}}"]
)
def test_other_braces_are_plain_text(text: str) -> None:
    assert references(text) == ()
    assert render_prompt(text, {}) == text


@pytest.mark.parametrize(
    "text",
    [
        "{{ needs.a }}",
        "{{ needs.a.outputs }}",
        "{{ needs.A.output }}",
        "{{ needs.a.output",
        "{{ needs.",
        "{{ needs.a.output | x }}",
    ],
)
def test_a_malformed_expression_is_refused(text: str) -> None:
    with pytest.raises(InvalidTask, match=r"cannot read '\{\{ needs") as caught:
        references("intro\n" + text)
    assert caught.value.hint == "the only expression is {{ needs.NAME.output }}"


def test_a_missing_output_is_told() -> None:
    with pytest.raises(InvalidTask, match="'a', which is not one of its needs"):
        render_prompt("{{ needs.a.output }}", {"b": "x"})
    with pytest.raises(InvalidTask, match="'a', which gave none"):
        render_prompt("{{ needs.a.output }}", {"a": None})
    assert render_prompt("<{{ needs.a.output }}>", {"a": ""}) == "<>"

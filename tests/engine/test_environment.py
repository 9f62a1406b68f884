"""What a program gets of the supervisor's environment."""

from __future__ import annotations

from lite.engine.environment import build_environment, need_variable

OURS = {"PATH": "/bin", "LC_ALL": "C", "SECRET_KEY": "s", "MY_ONE": "1", "MYSELF": "2", "EXACT": "3", "TERM": "dumb"}


def test_only_what_is_allowed_passes() -> None:
    assert build_environment(OURS, ()) == {
        "PATH": "/bin",
        "LC_ALL": "C",
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
    }


def test_the_configuration_may_allow_more_by_name_or_prefix() -> None:
    found = build_environment(OURS, ["EXACT", "MY_*"])
    assert (found["EXACT"], found["MY_ONE"]) == ("3", "1")
    assert "MYSELF" not in found
    assert "SECRET_KEY" not in found


def test_later_layers_win_and_some_are_removed() -> None:
    found = build_environment(OURS, (), {"PATH": "/a", "X": "1"}, {"X": "2"}, unset=["LC_ALL"])
    assert (found["PATH"], found["X"]) == ("/a", "2")
    assert "LC_ALL" not in found


def test_a_needs_name_becomes_a_variable() -> None:
    assert need_variable("a.b-c_1") == "QD_NEEDS_A_B_C_1"


def test_the_way_to_the_store_is_never_passed_on() -> None:
    ours = {"QD_BACKEND": "redis://:secret@host", "QD_REDIS_PASSWORD": "secret", "QD_DEBUG": "1"}
    for allow in (["QD_*"], ["*"], ["QD_BACKEND", "QD_REDIS_PASSWORD", "QD_DEBUG"]):
        env = build_environment(ours, allow)
        assert "secret" not in str(env)
        assert env["QD_DEBUG"] == "1"

"""Codex: what is launched, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from providers.base import Request
from providers.codex import CodexProvider
from providers.driven import DrivenParser
from providers.errors import InvalidRequest
from providers.parsing import ExitCodeParser

ASK = Request(task="t", attempt=1, mode="headless", prompt="Say hello", cwd="/project")
TALK = replace(ASK, python=("qd",), options={"permissions": "ask"})
UUID = "0abc0000-0000-4000-8000-000000000001"
HEADLESS = ("codex", "exec", "--json", "--skip-git-repo-check")


def test_headless_reads_the_prompt_from_a_file() -> None:
    launch = CodexProvider().launch(replace(ASK, prompt="-\n--help\n", model="gpt-x"))
    assert launch.argv == (*HEADLESS, "-m", "gpt-x", "-")
    assert (launch.stdio, launch.stdin, launch.stdin_file) == ("pipes", "file", "prompt.txt")
    assert launch.files == {"prompt.txt": b"-\n--help\n"}
    assert launch.env == {}


def test_a_conversation_is_resumed_by_its_id() -> None:
    launch = CodexProvider().launch(replace(ASK, resume=UUID, model="gpt-x", options={"sandbox": "workspace-write"}))
    assert launch.argv == (
        "codex", "exec", "resume", "--json", "--skip-git-repo-check",
        "-m", "gpt-x", "-c", 'sandbox_mode="workspace-write"', UUID, "-",
    )  # fmt: skip
    assert launch.files == {"prompt.txt": b"Say hello"}


def test_what_is_set_for_the_first_attempt_is_set_for_those_that_resume() -> None:
    options = {"sandbox": "read-only", "approval": "never", "add_dirs": ["/data"], "config": {"a.b": 1}}
    first = CodexProvider().launch(replace(ASK, options=options)).argv
    resumed = CodexProvider().launch(replace(ASK, options=options, resume=UUID)).argv
    assert [word for word in resumed if word not in ("resume", UUID)] == list(first)


def test_interactive_gives_the_prompt_as_a_word_that_cannot_be_a_flag() -> None:
    ask = replace(ASK, mode="interactive")
    quiet = ("codex", "-c", "check_for_update_on_startup=false")
    assert CodexProvider().launch(replace(ask, prompt="--help")).argv == (*quiet, "--", "--help")
    assert CodexProvider().launch(replace(ask, prompt=" ")).argv == quiet
    resumed = CodexProvider().launch(replace(ask, resume=UUID, options={"approval": "on-request"}))
    assert resumed.argv == (
        "codex", "resume", *quiet[1:], "-c", 'approval_policy="on-request"', "--", UUID, "Say hello",
    )  # fmt: skip
    assert resumed.stdio == "terminal"
    assert not resumed.files


def test_options_become_settings_and_the_named_ones_win() -> None:
    options = {
        "sandbox": "workspace-write",
        "approval": "never",
        "add_dirs": ["/data", '/with "quotes"'],
        "config": {
            "sandbox_mode": "danger-full-access",
            "model_provider": "fake",
            "model_providers.fake": {"name": "F", "query": {"a": [1, 2.5, True]}, "wire_api": "responses"},
            "text": 'a"b\\c\nü\x7f😀',
        },
        "args": ["--ephemeral"],
    }
    launch = CodexProvider().launch(replace(ASK, options=options))
    assert launch.argv == (
        *HEADLESS,
        "-c", 'model_provider="fake"',
        "-c", 'model_providers.fake={"name" = "F", "query" = {"a" = [1, 2.5, true]}, "wire_api" = "responses"}',
        "-c", 'text="a\\"b\\\\c\\nü\\u007f😀"',
        "-c", 'sandbox_mode="workspace-write"',
        "-c", 'approval_policy="never"',
        "-c", 'sandbox_workspace_write.writable_roots=["/data", "/with \\"quotes\\""]',
        "--ephemeral",
        "-",
    )  # fmt: skip


def test_a_directory_is_trusted_when_that_was_said_and_for_this_once() -> None:
    trusting = CodexProvider().launch(replace(ASK, mode="interactive", cwd="/a.b/c d", options={"trust": True}))
    assert 'projects={"/a.b/c d" = {"trust_level" = "trusted"}}' in trusting.argv
    for options in ({}, {"trust": False}):
        launch = CodexProvider().launch(replace(ASK, mode="interactive", options=options))
        assert not any("projects" in word for word in launch.argv)


def test_settings_are_toml() -> None:
    tomllib = pytest.importorskip("tomllib")
    values = {"s": 'a"b\\c\nü\x7f\x01😀', "n": [1, -2.5, 1e300, True, False], "t": {"odd key": {"x": []}, "": "y"}}
    argv = CodexProvider().launch(replace(ASK, options={"config": values})).argv
    said = "\n".join(word for flag, word in pairwise(argv) if flag == "-c")
    assert tomllib.loads(said) == values


def test_a_home_of_its_own_is_made_before_the_program_looks_for_it() -> None:
    for mode in ("headless", "interactive"):
        ask = replace(ASK, mode=mode, options={"config_dir": "/home/user/.other codex"})
        launch = CodexProvider().launch(ask)
        assert launch.env == {"CODEX_HOME": "/home/user/.other codex"}
        assert launch.argv[:2] == ("/bin/sh", "-c")
        assert "mkdir -p" in launch.argv[2]
        assert launch.argv[3:] == CodexProvider().launch(replace(ask, options={})).argv


def test_a_limit_holds_for_what_it_would_repeat_for_ever() -> None:
    retries = CodexProvider().capabilities().limits.retries
    assert retries
    assert retries > 2 * 5, "it gives up by itself, and says why"


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (replace(ASK, prompt="  "), "prompt"),
        (replace(ASK, prompt="a\0b"), "prompt"),
        (replace(ASK, model="a\0b"), "model"),
        (replace(ASK, resume="last"), "resume"),
        (replace(ASK, resume="--last"), "resume"),
        (replace(ASK, options={"sandbox": "yolo"}), "options.sandbox"),
        (replace(ASK, options={"sandbox": 1}), "options.sandbox"),
        (replace(ASK, options={"approval": "always"}), "options.approval"),
        (replace(ASK, options={"approval": "on-request"}), "options.approval"),
        (replace(ASK, options={"config_dir": ".codex"}), "options.config_dir"),
        (replace(ASK, options={"config_dir": ""}), "options.config_dir"),
        (replace(ASK, options={"config_dir": "/a\0b"}), "options.config_dir"),
        (replace(ASK, options={"trust": 1}), "options.trust"),
        (replace(ASK, options={"add_dirs": "/data"}), "options.add_dirs"),
        (replace(ASK, options={"add_dirs": [1]}), "options.add_dirs"),
        (replace(ASK, options={"args": [""]}), "options.args"),
        (replace(ASK, options={"args": ["a\0b"]}), "options.args"),
        (replace(ASK, options={"args": ["--last"]}), "options.args"),
        (replace(ASK, options={"config": ["a=b"]}), "options.config"),
        (replace(ASK, options={"config": {"a=b": 1}}), "options.config"),
        (replace(ASK, options={"config": {1: 1}}), "options.config"),
        (replace(ASK, options={"config": {"a": None}}), "options.config.a"),
        (replace(ASK, options={"config": {"a": float("nan")}}), "options.config.a"),
        (replace(ASK, options={"config": {"a": {1: 2}}}), "options.config.a"),
        (replace(ASK, options={"config": {"a": ["b\0"]}}), "options.config.a"),
        (replace(ASK, options={"modle": "x"}), "options.modle"),
        (replace(ASK, options={"wait_for": "1m"}), "options.wait_for"),
        (replace(TALK, options={"permissions": "perhaps"}), "options.permissions"),
        (replace(TALK, options={"permissions": "ask", "approval": "never"}), "options.approval"),
        (replace(TALK, options={"permissions": "ask", "approval": "on-failure"}), "options.approval"),
        (replace(TALK, options={"permissions": "ask", "config": {"approval_policy": "never"}}), "options.approval"),
        (replace(TALK, python=()), "python"),
    ],
)
def test_what_cannot_be_launched_is_refused_with_its_field(request_: Request, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        CodexProvider().validate(request_)
    assert refused.value.field == field


def test_asking_for_approval_is_for_those_who_watch() -> None:
    CodexProvider().validate(replace(ASK, mode="interactive", options={"approval": "on-request"}))


def test_with_permissions_it_is_conversed_with() -> None:
    options = {
        "permissions": "wait",
        "wait_for": "5m",
        "sandbox": "read-only",
        "add_dirs": ["/data"],
        "config_dir": "/c",
    }
    ask = replace(TALK, model="gpt-x", resume=UUID, options=options)
    CodexProvider().validate(ask)
    launch = CodexProvider().launch(ask)
    assert launch.argv == ("qd", "_drive", "@drive.json")
    assert (launch.stdio, launch.stdin, launch.env) == ("pipes", "terminal", {"CODEX_HOME": "/c"})
    spec = json.loads(launch.files["drive.json"])
    assert (spec["driver"], spec["permissions"], spec["wait_ms"]) == ("codex", "wait", 300_000)
    assert (spec["prompt"], spec["model"], spec["resume"]) == ("Say hello", "gpt-x", UUID)
    assert (spec["approval"], spec["sandbox"]) == ("on-request", "read-only"), "a resumed thread would keep to its own"
    flags = ["-c", 'sandbox_mode="read-only"', "-c", 'sandbox_workspace_write.writable_roots=["/data"]']
    assert spec["command"][-len(flags) - 2 :] == ["codex", "app-server", *flags], "it has no flag for the model"
    assert type(CodexProvider().parser(ask)) is DrivenParser


def test_what_its_own_configuration_says_of_asking_holds() -> None:
    granular = {"granular": {"sandbox_approval": True, "rules": True}}
    config = {"approval_policy": granular, "sandbox_mode": "workspace-write"}
    ask = replace(TALK, options={"permissions": "deny", "config": config})
    CodexProvider().validate(ask)
    spec = json.loads(CodexProvider().launch(ask).files["drive.json"])
    assert (spec["approval"], spec["sandbox"]) == (granular, "workspace-write")


def test_in_a_terminal_it_asks_there() -> None:
    ask = replace(TALK, mode="interactive", options={"permissions": "ask", "approval": "on-request"})
    CodexProvider().validate(ask)
    assert CodexProvider().launch(ask).argv[0] == "codex"
    assert type(CodexProvider().parser(ask)) is ExitCodeParser


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ("codex-cli 0.169.0\n", "0.169.0"),
        ("", ""),
        ("codex: not found", ""),
        ("codex-cli 0.170.0-alpha.1", "0.170.0-alpha.1"),
    ],
)
def test_the_version_is_found_in_what_it_printed(printed: str, version: str) -> None:
    assert CodexProvider().version(printed) == version

"""Shell, HTTP, no-op and scripted: what they launch, what they refuse."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from providers.base import EventKind, HttpCall, Provider, Request
from providers.errors import InvalidRequest
from providers.http import HttpProvider
from providers.noop import NoopProvider
from providers.scripted import ScriptedProvider
from providers.shell import ShellProvider
from tests.contracts.provider import ProviderContract

ASK = Request(task="t", attempt=1, mode="headless", cwd="/project", python=("python", "-m", "lite"))
SHELL = replace(ASK, argv=("make", "test"))
HTTP = replace(ASK, http=HttpCall("https://example.org/x?y=1"))
SCRIPTED = replace(ASK, prompt="Tidy up")


class TestShell(ProviderContract):
    @pytest.fixture
    def provider(self) -> Provider:
        return ShellProvider()

    @pytest.fixture
    def request_(self) -> Request:
        return SHELL


class TestHttp(ProviderContract):
    @pytest.fixture
    def provider(self) -> Provider:
        return HttpProvider()

    @pytest.fixture
    def request_(self) -> Request:
        return HTTP


class TestNoop(ProviderContract):
    @pytest.fixture
    def provider(self) -> Provider:
        return NoopProvider()

    @pytest.fixture
    def request_(self) -> Request:
        return ASK


class TestScripted(ProviderContract):
    @pytest.fixture
    def provider(self) -> Provider:
        return ScriptedProvider()

    @pytest.fixture
    def request_(self) -> Request:
        return SCRIPTED


def refused(provider: Provider, request: Request) -> str:
    with pytest.raises(InvalidRequest) as error:
        provider.validate(request)
    assert error.value.message
    return error.value.field


def test_a_shell_task_runs_its_argv_in_a_terminal_or_on_pipes() -> None:
    shown = ShellProvider().launch(replace(SHELL, mode="interactive"))
    assert (shown.argv, shown.stdio, shown.stdin) == (("make", "test"), "terminal", "terminal")
    quiet = ShellProvider().launch(SHELL)
    assert (quiet.stdio, quiet.stdin) == ("pipes", "null")


def test_a_shell_task_succeeds_by_exit_code() -> None:
    assert ShellProvider().parser(SHELL).end(0, None).ok
    failed = ShellProvider().parser(SHELL).end(3, None)
    assert (failed.ok, failed.reason) == (False, "exit")


def test_what_a_shell_cannot_run_is_refused() -> None:
    assert refused(ShellProvider(), ASK) == "command"
    assert refused(ShellProvider(), replace(ASK, argv=("",))) == "command"
    assert refused(ShellProvider(), replace(ASK, argv=("echo", "a\0b"))) == "command"
    assert refused(ShellProvider(), replace(SHELL, http=HttpCall("http://x"))) == "http"


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (HttpCall("ftp://example.org"), "http.url"),
        (HttpCall("file:///etc/passwd"), "http.url"),
        (HttpCall("http://"), "http.url"),
        (HttpCall("example.org/x"), "http.url"),
        (HttpCall("http://user:secret@example.org"), "http.url"),
        (HttpCall("http://@example.org"), "http.url"),
        (HttpCall("http://exa mple.org"), "http.url"),
        (HttpCall("http://example.org/\r\nX: y"), "http.url"),
        (HttpCall("http://example.org:99999"), "http.url"),
        (HttpCall("http://[::1"), "http.url"),
        (HttpCall("http://x", "DELETE"), "http.method"),  # type: ignore[arg-type]
        (HttpCall("http://x", body="b"), "http.body"),
        (HttpCall("http://x", max_bytes=0), "http.max_bytes"),
        (HttpCall("http://x", headers={"a b": "c"}), "http.headers"),
        (HttpCall("http://x", headers={"a": "c\r\nd: e"}), "http.headers"),
        (HttpCall("http://x", headers={"Host": "internal"}), "http.headers"),
    ],
)
def test_what_is_no_safe_call_is_refused_with_its_field(call: HttpCall, field: str) -> None:
    assert refused(HttpProvider(), replace(ASK, http=call)) == field


def test_an_http_task_without_a_call_is_refused() -> None:
    assert refused(HttpProvider(), ASK) == "http"


def test_http_and_noop_are_done_inline() -> None:
    assert HttpProvider().launch(HTTP).inline == HTTP.http
    assert NoopProvider().launch(ASK).inline == "noop"


def test_a_script_comes_from_the_first_place_that_has_one() -> None:
    steps = [{"say": "hi"}]
    launch = ScriptedProvider().launch(replace(SCRIPTED, options={"steps": steps}))
    assert json.loads(launch.files["script.yaml"]) == {"steps": steps}
    assert "@script.yaml" in launch.argv
    launch = ScriptedProvider().launch(replace(SCRIPTED, options={"script": "agents/a.yaml"}))
    assert "/project/agents/a.yaml" in launch.argv
    assert "script.yaml" not in launch.files
    launch = ScriptedProvider().launch(replace(SCRIPTED, prompt="script: /else/b.yaml"))
    assert "/else/b.yaml" in launch.argv
    launch = ScriptedProvider().launch(replace(SCRIPTED, prompt="steps:\n- say: x\n"))
    assert launch.files["script.yaml"] == b"steps:\n- say: x\n"
    launch = ScriptedProvider().launch(SCRIPTED)
    assert b"On it" in launch.files["script.yaml"]
    assert launch.files["prompt.txt"] == b"Tidy up"


def test_the_scripted_agent_is_started_by_this_very_program() -> None:
    launch = ScriptedProvider().launch(replace(SCRIPTED, resume="abc", options={"pace": 0}))
    assert launch.argv[:4] == ("python", "-m", "lite", "_scripted")
    assert launch.argv[-4:] == ("--resume", "abc", "--pace", "0")
    assert refused(ScriptedProvider(), replace(SCRIPTED, python=())) == "python"


def test_what_the_scripted_agent_cannot_do_is_refused() -> None:
    assert refused(ScriptedProvider(), replace(SCRIPTED, options={"script": "a", "steps": []})) == "options.steps"
    assert refused(ScriptedProvider(), replace(SCRIPTED, options={"script": 7})) == "options.script"


def scripted(out: bytes, exit_code: int | None = 0, signal: int | None = None, err: bytes = b"") -> tuple[object, ...]:
    parser = ScriptedProvider().parser(SCRIPTED)
    parser.feed("out", out)
    parser.feed("err", err)
    verdict = parser.end(exit_code, signal)
    return verdict.ok, verdict.reason, verdict.output


def test_the_scripted_verdict_needs_a_good_result_and_exit_0() -> None:
    good = b'{"type":"result","ok":true,"text":"fine"}\n'
    assert scripted(good) == (True, "", "fine")
    assert scripted(good.strip()) == (True, "", "fine")
    assert scripted(good, 1) == (False, "exit", None)
    assert scripted(good, None, 9) == (False, "signal", None)
    assert scripted(b"") == (False, "no-result", None)
    assert scripted(b'{"type":"result","ok":false,"reason":"tool-refused"}\n') == (False, "tool-refused", None)
    assert scripted(b'{"type":"result","ok":"yes"}\n') == (False, "agent", None)


def test_the_scripted_events_are_neutral() -> None:
    out = b'{"type":"init","session":"s1"}\n{"type":"needs_user","text":"which?"}\n{"type":"odd"}\nnoise\n'
    events = ScriptedProvider().parser(SCRIPTED).feed("out", out)
    kinds = [event.kind for event in events]
    assert kinds == [EventKind.INIT, EventKind.NEEDS_USER, EventKind.UNKNOWN, EventKind.UNKNOWN]
    assert events[0].data["session"] == "s1"
    assert events[1].text == "which?"

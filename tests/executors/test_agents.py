"""Providers and the local executor together: what a provider launches is really run, read and judged."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from lite.home import Home
from lite.model.session import Activity
from lite.model.task import Outcome, OutcomeKind
from lite.restart import self_command
from lite.terminal import packets
from providers.base import Provider, Request, Verdict
from providers.claude import ClaudeProvider
from providers.scripted import ScriptedProvider
from tests.executors.sessions import PATH, Desk, acked, activity, ended, read_until, recorded

TRANSCRIPT = Path(__file__).parents[1] / "providers" / "transcripts" / "claude" / "tool.jsonl"
ROOT = str(Path(__file__).parents[2])
ASK = Request(task="task1", attempt=1, mode="headless", prompt="Say hello", python=tuple(self_command()))
SCRIPT = """steps:
- ask: Which colour?
- output: "{answer}"
- say: "You like {answer}, {prompt}"
"""


def judged(provider: Provider, request: Request, handle: str, outcome: Outcome) -> Verdict:
    parser = provider.parser(request)
    parser.feed("out", recorded(handle, packets.OUT))
    parser.feed("err", recorded(handle, packets.ERR))
    return parser.end(outcome.exit_code, outcome.signal)


def output_path(home: Home, request: Request) -> Path:
    """Where the engine points `$QD_OUTPUT`."""
    return home.session(f"{request.task}-1") / "output"


async def launch(desk: Desk, provider: Provider, request: Request, **env: str):  # type: ignore[no-untyped-def]
    made = provider.launch(request)
    env = {"PYTHONPATH": ROOT, "QD_OUTPUT": str(output_path(desk.home, request)), **made.env, **env}
    return await desk.run(
        *made.argv,
        task=request.task,
        env=env,
        stdio=made.stdio,
        stdin=made.stdin,
        stdin_file=made.stdin_file,
        files=made.files,
    )


async def test_stdin_may_be_a_file_of_the_launch(desk: Desk) -> None:
    text = b"a line\nno newline at the end, and a \0" * 5000
    executor, handle = await desk.run("cat", stdio="pipes", stdin="file", stdin_file="in.bin", files={"in.bin": text})
    assert (await ended(executor, handle)).kind is OutcomeKind.SUCCEEDED
    assert recorded(handle, packets.OUT) == text


async def test_claude_gets_its_prompt_to_the_end_and_is_judged_by_what_it_prints(desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "claude"
    program.write_text(f'#!/bin/sh\necho "$@" > args\ncat > prompt\ncat {shlex.quote(str(TRANSCRIPT))}\n')
    program.chmod(0o755)
    prompt = "Add a greeting.\n\n" + "Details. " * 20_000
    request = replace(ASK, prompt=prompt)
    executor, handle = await launch(desk, ClaudeProvider(), request, PATH=f"{folder}:{PATH}")
    outcome = await ended(executor, handle)
    assert (tmp_path / "prompt").read_text() == prompt
    assert (tmp_path / "args").read_text() == "-p --output-format stream-json --verbose\n"
    verdict = judged(ClaudeProvider(), request, handle, outcome)
    assert (verdict.ok, verdict.output) == (True, "The greeting is in place.")


async def test_the_scripted_agent_asks_in_its_terminal(desk: Desk) -> None:
    request = replace(ASK, mode="interactive", prompt=SCRIPT)
    executor, handle = await launch(desk, ScriptedProvider(), request)
    assert await activity(executor, handle, Activity.WAITING) == "Which colour?"
    stream = await executor.attach(handle, control=True, offset=0)
    assert await acked(stream, b"blue\r") == (True, "")
    assert b"You like blue" in await read_until(stream, b"You like blue")
    await stream.aclose()
    assert (await ended(executor, handle)).kind is OutcomeKind.SUCCEEDED
    assert output_path(desk.home, request).read_text() == "blue"


async def test_the_scripted_agent_asks_by_events(desk: Desk) -> None:
    request = replace(ASK, prompt=SCRIPT)
    executor, handle = await launch(desk, ScriptedProvider(), request)
    stream = await executor.attach(handle, control=True, offset=0)
    await read_until(stream, b"needs_user")
    assert await acked(stream, b"red\r") == (True, "")
    await stream.aclose()
    outcome = await ended(executor, handle)
    verdict = judged(ScriptedProvider(), request, handle, outcome)
    assert verdict.ok
    assert verdict.output is not None
    assert verdict.output.startswith("You like red")
    assert output_path(desk.home, request).read_text() == "red"

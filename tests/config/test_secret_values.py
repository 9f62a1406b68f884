"""From where a secret is to its value: bounded, named when it fails, never repeated."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from lite.config.secret_values import MAX_SECRET, SecretValues
from lite.errors import SecretUnavailable
from lite.model.settings import Secret

CANARY = "canary-9f8e7d6c5b4a"


async def refused(secret: Secret, values: SecretValues | None = None) -> str:
    with pytest.raises(SecretUnavailable) as caught:
        await (values or SecretValues({})).value(secret)
    said = f"{caught.value} {caught.value.hint}"
    assert "canary" not in said
    return said


def python(code: str) -> Secret:
    return Secret(command=(sys.executable, "-c", code))


async def test_a_variable_of_the_supervisor() -> None:
    values = SecretValues({"MY_KEY": CANARY, "EMPTY": ""})
    assert await values.value(Secret(env="MY_KEY")) == CANARY
    assert values.problem(Secret(env="MY_KEY")) == ""
    for name in ("EMPTY", "ABSENT"):
        assert f"env {name}" in await refused(Secret(env=name), values)
        assert "is not set" in values.problem(Secret(env=name))


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
async def test_a_file_but_for_its_last_line_end(tmp_path: Path, end: str) -> None:
    path = tmp_path / "key"
    path.write_bytes(f"{CANARY}\nsecond{end}".encode())
    path.chmod(0o600)
    assert await SecretValues().value(Secret(file=str(path))) == f"{CANARY}\nsecond"


async def test_files_that_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(CANARY)
    path.chmod(0o644)
    said = await refused(Secret(file=str(path)))
    assert f"chmod 600 {path}" in said
    path.chmod(0o600)
    for content, why in ((b"\n", "empty"), (b"a\0canary", "not UTF-8 text"), (b"\xff\xfecanary", "not UTF-8 text")):
        path.write_bytes(content)
        assert why in await refused(Secret(file=str(path)))
    path.write_bytes(b"x" * (MAX_SECRET + 1))
    assert "longer than 16 KiB" in await refused(Secret(file=str(path)))
    path.write_bytes(b"x" * MAX_SECRET + b"\n")
    assert len(await SecretValues().value(Secret(file=str(path)))) == MAX_SECRET
    assert "No such file" in await refused(Secret(file=str(tmp_path / "absent")))
    assert await refused(Secret(file=str(tmp_path)))


async def test_a_command_is_asked_once_and_by_one_launch_at_a_time(tmp_path: Path) -> None:
    log = tmp_path / "log"
    secret = python(f"open({str(log)!r}, 'a').write('x'); print({CANARY!r})")
    values = SecretValues()
    assert await asyncio.gather(*(values.value(secret) for _ in range(5))) == [CANARY] * 5
    assert log.read_text() == "x"


async def test_an_answer_may_be_good_for_a_time_only(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = f"f = open({str(log)!r}, 'a'); f.write('x'); print('value', f.tell())"
    now = [100.0]
    values = SecretValues(clock=lambda: now[0])
    secret = Secret(command=(sys.executable, "-c", code), ttl_ms=5000)
    assert await values.value(secret) == "value 1"
    now[0] += 4.9
    assert await values.value(secret) == "value 1"
    now[0] += 0.2
    assert await values.value(secret) == "value 2"


async def test_no_shell_reads_a_command() -> None:
    assert await SecretValues().value(Secret(command=("echo", "$HOME;id"))) == "$HOME;id"


async def test_commands_that_fail_are_named(tmp_path: Path) -> None:
    values = SecretValues()
    failing = python(f"import sys; print({CANARY!r}); print({CANARY!r}, file=sys.stderr); sys.exit(3)")
    assert "exit code 3" in await refused(failing, values)
    assert "exit code 3" in values.problem(failing)
    assert "cannot be run" in await refused(Secret(command=(str(tmp_path / "absent"), CANARY)))
    assert "longer than" in await refused(python("while True: print('canary' * 1000)"))


async def test_a_command_that_says_nothing_is_ended(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    write = f"open({str(pid)!r}, 'w').write(str(os.getpid()))"
    code = f"import os, time; {write}; print({CANARY!r}, flush=True); time.sleep(99)"
    said = await refused(python(code), SecretValues(seconds=1.0))
    assert "said nothing within 1 s" in said
    assert not Path(f"/proc/{pid.read_text()}").exists()

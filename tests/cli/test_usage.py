"""What is called wrongly is told in one line with a hint, ends with the documented code, and reaches no supervisor."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lite.cli.app import find_command, overview, split_globals
from lite.cli.commands import FAMILIES
from lite.cli.completion import full_parser
from lite.cli.parsing import command_parser
from lite.errors import UsageError
from lite.home import Home
from tests.cli.conftest import Qd
from tests.cli.fake import FakeSupervisor


@pytest.mark.parametrize("name", FAMILIES)
def test_every_command_has_help_with_examples(qd: Qd, name: str) -> None:
    result = qd(name, "--help")
    assert result.code == 0
    assert f"qd {name}" in result.out.partition("examples:")[2]
    assert "--json" in result.out


def test_the_overview_lists_every_command_and_exit_code(qd: Qd) -> None:
    assert qd("--help").out == overview()
    for wanted in (*FAMILIES, "130 interrupted"):
        assert wanted in overview()


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["lss"], 2, "did you mean ls"),
        (["xyzzy"], 2, "qd --help"),
        (["--nope", "ls"], 2, "unknown option --nope"),
        (["--home"], 2, "needs a value"),
        (["--color", "pink", "ls"], 2, "--color"),
        (["ls", "--nope"], 2, "unrecognized"),
        (["ls", "--state", "napping"], 2, "invalid choice"),
        (["ls", "-n", "0"], 2, "at least 1"),
        (["submit"], 2, "a prompt is required"),
        (["submit", "  "], 2, "a prompt is required"),
        (["submit", "--"], 2, "no command after --"),
        (["submit", "words", "--", "true"], 2, "not both"),
        (["submit", "--timeout", "soon", "--", "true"], 2, "--timeout"),
        (["submit", "--timeout=-5", "--", "true"], 2, "--timeout"),
        (["submit", "--env", "1A=2", "--", "true"], 2, "--env"),
        (["submit", "--cwd", "/no/such", "--", "true"], 2, "--cwd"),
        (["submit", "--agent", "a", "--type", "t", "x"], 2, "not allowed with"),
        (["submit", "--worktree", "x"], 3, "not supported yet"),
        (["submit", "--budget", "5", "x"], 3, "not supported yet"),
        (["up", "--role", "boss"], 2, "invalid choice"),
        (["workers", "drain"], 2, "which worker?"),
        (["workers", "cordon"], 2, "which worker?"),
        (["workers", "--timeout", "1s"], 2, "only drain"),
        (["workers", "drain", "w", "--timeout", "soon"], 2, "--timeout"),
        (["cancel"], 2, "name tasks"),
        (["cancel", "x", "--run", "r"], 2, "name tasks"),
        (["wait"], 2, "required"),
        (["wait", "x", "--timeout", "1y"], 2, "--timeout"),
        (["attach", "x"], 2, "needs a terminal"),
        (["attach", "--read-only", "--detach-key", "enter", "x"], 2, "--detach-key"),
        (["send", "x", "--no-enter", ""], 2, "nothing to send"),
        (["config", "show", "file"], 2, "only validate"),
        (["config", "ls", "--plan"], 2, "invalid choice"),
        (["logs", "x", "--tail", "-1"], 2, "--tail"),
        (["run", "absent.yaml"], 4, "absent.yaml: no such plan"),
        (["run", "."], 3, "is a directory"),
        (["run", "binary.yaml"], 3, "binary.yaml"),
        (["run", "nul.yaml"], 3, "binary"),
        (["run", "huge.yaml"], 3, "1 MiB"),
        (["run", "plan.yaml/x"], 4, "no such plan"),
        (["run", "a\0b"], 4, "no such plan"),
    ],
)
def test_bad_calls(qd: Qd, home: Home, argv: list[str], code: int, says: str, tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\x7fELF\xff\xfe")
    (tmp_path / "nul.yaml").write_bytes(b"a: \0")
    (tmp_path / "huge.yaml").write_bytes(b"#" * (10 << 20))
    (tmp_path / "plan.yaml").write_text("tasks: {}")
    result = qd(*argv)
    assert result.code == code
    assert says in result.err
    assert result.err.startswith("qd: ")
    assert "Traceback" not in result.err
    assert result.out == ""
    assert not home.root.exists()  # no supervisor was started for it


@pytest.mark.parametrize(
    "argv",
    [
        ["ls"],
        ["runs"],
        ["show", "x"],
        ["wait", "x"],
        ["cancel", "x"],
        ["retry", "x"],
        ["workers"],
        ["agents"],
        ["down"],
        ["logs", "x"],
        ["send", "x", "y"],
        ["events"],
        ["export", "x", "--cast", "f"],
        ["config", "reload"],
        ["explain", "x"],
    ],
)
def test_without_a_supervisor_the_rest_ends_with_5_and_a_hint(qd: Qd, argv: list[str]) -> None:
    result = qd(*argv)
    assert result.code == 5
    assert "qd up" in result.err


def test_errors_in_json_are_one_object_on_stderr(qd: Qd) -> None:
    result = qd("show", "x", "--json")
    assert result.out == ""
    told = json.loads(result.err)["error"]
    assert (told["code"], told["exit_code"]) == ("no-supervisor", 5)
    assert told["hint"]


def test_unexpected_errors_are_told_without_a_traceback(
    qd: Qd, supervisor: FakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor.routes["GET", "/v1/tasks"] = [{"no": "task"}]
    result = qd("ls")
    assert (result.code, "internal error: KeyError" in result.err, "Traceback" in result.err) == (1, True, False)
    monkeypatch.setenv("QD_DEBUG", "1")
    assert "Traceback" in qd("ls").err


def test_global_options_stand_before_or_after_the_command() -> None:
    assert split_globals(["--home=/x", "--color", "never", "--json", "ls", "-n", "1"]) == (
        {"home": "/x", "color": "never", "json": True},
        "ls",
        ["-n", "1"],
    )
    parsed = command_parser("ls", find_command("ls")).parse_args(["--home", "/y", "--json"])
    assert (parsed.home, parsed.json) == ("/y", True)


def test_the_home_of_the_command_line_wins(qd: Qd, supervisor: FakeSupervisor, tmp_path: Path) -> None:
    assert qd("ls").code == 0
    assert qd("--home", str(tmp_path / "other"), "ls").code == 5
    assert qd("ls", "--home", str(tmp_path / "other")).code == 5


def test_colours_follow_the_option_then_the_environment(
    qd: Qd, supervisor: FakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.cli.fake import task

    supervisor.tasks(task())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in qd("ls").out
    assert "\x1b[32m" in qd("ls", "--color", "always").out
    assert "\x1b[" not in qd("ls", "--color", "never").out


def test_version(qd: Qd) -> None:
    assert qd("--version").out == qd("version").out
    assert qd("version", "--json").json["version"]


def test_completion_knows_every_command_and_asks_for_live_ids(supervisor: FakeSupervisor) -> None:
    from argparse import Namespace

    from lite.cli.completion import task_ids
    from tests.cli.fake import task

    supervisor.tasks(task(1), task(2))
    assert list(task_ids("01jd8aaa2", Namespace())) == [task(2)["id"]]
    parser = full_parser()
    for name in FAMILIES:
        with pytest.raises(UsageError):
            parser.parse_args([name, "--no-such-option"])


def test_completion_without_a_supervisor_offers_nothing(home: Home) -> None:
    from argparse import Namespace

    from lite.cli.completion import task_ids

    assert not task_ids("", Namespace(home=os.fspath(home)))

"""What the holder is told comes over whole, and to one holder only."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lite.executors.local.exitfile import read_exit, write_exit
from lite.executors.local.launchfile import LaunchFile, reclaim_launch, remove_launch, take_launch, write_launch
from lite.executors.local.outcomes import outcome_of, parse_exit
from lite.model.task import OutcomeKind

text = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=30)
names = st.sampled_from([b"A", b"B", b"LONG_NAME"])
values = st.binary(max_size=20).map(lambda value: value.replace(b"\0", b"="))


@given(
    st.lists(text, max_size=5),
    st.dictionaries(names, values, max_size=5),
    st.binary(max_size=200),
    text,
    st.lists(values, max_size=3),
)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_comes_back_as_written(
    tmp_path: Path, argv: list[str], env: dict[bytes, bytes], stdin: bytes, cwd: str, needles: list[bytes]
) -> None:
    launch = LaunchFile("s-1", "/h", 7, cwd, 80, 24, 1 << 20, False, "pipes", "null", argv, env, stdin, needles)
    write_launch(str(tmp_path), launch)
    assert (tmp_path / "launch").stat().st_mode & 0o777 == 0o600
    assert take_launch(str(tmp_path)) == launch
    assert not list(tmp_path.glob("launch*"))


def test_what_a_dying_holder_left_is_removed_too(tmp_path: Path) -> None:
    for name in ("launch", "launch.taken", "launch.kept"):
        (tmp_path / name).write_bytes(b"secret")
    remove_launch(str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_only_one_can_take_it(tmp_path: Path) -> None:
    launch = LaunchFile("s-1", "/h", 7, "/", 80, 24, 1, True, "terminal", "terminal", ["true"], {}, b"")
    write_launch(str(tmp_path), launch)
    assert reclaim_launch(str(tmp_path))
    take_launch(str(tmp_path))
    assert not reclaim_launch(str(tmp_path))
    with pytest.raises(FileNotFoundError):
        take_launch(str(tmp_path))


@given(st.text(max_size=60))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_exit_json_is_json_whatever_the_message(tmp_path: Path, message: str) -> None:
    (tmp_path / "exit.json").unlink(missing_ok=True)
    written = write_exit(str(tmp_path), {"kind": "launch", "exit_code": 127, "signal": None, "message": message})
    fields = parse_exit(read_exit(str(tmp_path)))
    assert fields is not None
    assert fields["message"] == message.encode("utf-8", "replace").decode()
    assert outcome_of(fields).kind is OutcomeKind.FAILED
    assert write_exit(str(tmp_path), {"kind": "exited"}) == written  # the first word counts

"""What is said to `qd up` wins, says so, and is refused by the option's name."""

from __future__ import annotations

import pytest

from lite.config.load import load_text
from lite.config.overrides import Overrides, apply, read_overrides
from lite.errors import UsageError

FILE = "limits: {slots: 3}\nlabels: {zone: b, rack: 7}\nworker: {name: filed}\nlisten: 127.0.0.1:1\n"


def test_the_command_line_wins_over_file_and_environment() -> None:
    given = read_overrides(labels=["gpu=1,zone=a", "x="], slots="8", name="big-1", listen="0.0.0.0:0")
    found = apply(load_text(FILE, "q.yaml", environ={"QD_SLOTS": "5"}), given)
    assert (found.slots, found.worker_name, found.listen) == (8, "big-1", "0.0.0.0:0")
    assert found.labels == {"zone": "a", "rack": "7", "gpu": "1", "x": ""}
    assert found.origins["limits.slots"] == "--slots"
    assert found.origins["worker.name"] == "--name"
    assert found.origins["listen"] == "--listen"
    assert found.origins["labels"] == "--labels and the file"
    assert apply(load_text("", "", environ={}), given).origins["labels"] == "--labels"


def test_what_was_not_said_changes_nothing() -> None:
    settings = load_text(FILE, "q.yaml", environ={})
    assert apply(settings, read_overrides()) == settings
    assert read_overrides() == Overrides()
    assert apply(settings, read_overrides(listen="")).listen == ""  # said: do not listen


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"slots": "0"}, "--slots: should be a whole number from 1 to 10000, not '0'"),
        ({"slots": "many"}, "--slots: should be a whole number from 1 to 10000, not 'many'"),
        ({"slots": "１"}, "--slots: should be a whole number from 1 to 10000, not '１'"),
        ({"name": "A B"}, "--name: cannot be 'A B'"),
        ({"name": ""}, "--name: cannot be ''"),
        ({"name": "../x"}, "--name: cannot be '../x'"),
        ({"listen": "8080"}, "--listen: should be HOST:PORT, not '8080'"),
        ({"listen": "h:x"}, "--listen: has a wrong port"),
        ({"labels": ["gpu"]}, "--labels: should be KEY=VALUE, not 'gpu'"),
        ({"labels": ["=1"]}, "--labels: should be KEY=VALUE, not '=1'"),
        ({"labels": ["a=1,a=2"]}, "--labels: 'a' is here twice"),
        ({"labels": ["a=\x1b[2J"]}, "--labels: should be KEY=VALUE, not 'a=\\x1b[2J'"),
        ({"labels": ["a=" + "x" * 300]}, f"--labels: should be KEY=VALUE, not 'a={'x' * 57}…'"),
    ],
)
def test_a_wrong_option_is_named(given: dict[str, object], line: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_overrides(**given)  # type: ignore[arg-type]
    assert str(caught.value) == line

"""A home's worker and token outlive restarts, are nobody else's to read, and are refused when they are not ours."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from lite.errors import ConfigInvalid
from lite.home import Home
from lite.identity import api_token, short_name, worker_id


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


def test_a_worker_stays_who_it_is(home: Home) -> None:
    first = worker_id(home, "", "Laptop.example.org")
    name, _, tail = first.rpartition("-")
    assert (name, len(tail)) == ("laptop", 8)
    assert worker_id(home, "", "Laptop.example.org") == first
    assert worker_id(home, "", "renamed") == first  # a laptop's name changes with the network
    assert stat.S_IMODE(home.worker_id.stat().st_mode) == 0o600


def test_a_name_that_was_given_is_kept_until_another_is(home: Home) -> None:
    first = worker_id(home, "big", "node")
    assert first.startswith("big-")
    assert worker_id(home, "", "node") == worker_id(home, "big", "node") == first
    renamed = worker_id(home, "small", "node")
    assert renamed == f"small-{first[-8:]}"
    assert worker_id(home, "", "node") == renamed


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"laptop", b"laptop-12345678\nmore", b"../x-12345678", b"a-1234567G", b"\xff" * 10, b"a" * 9000],
)
def test_what_is_not_an_id_is_refused_and_kept(home: Home, content: bytes) -> None:
    home.worker_id.write_bytes(content)
    with pytest.raises(ConfigInvalid) as caught:
        worker_id(home, "", "node")
    assert (caught.value.place, caught.value.exit_code) == (str(home.worker_id), 3)
    assert "remove it" in caught.value.hint
    assert home.worker_id.read_bytes() == content


def test_neither_links_nor_pipes_are_followed(home: Home, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("a-12345678\n")
    home.worker_id.symlink_to(tmp_path / "other")
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        worker_id(home, "", "node")
    home.worker_id.unlink()
    os.mkfifo(home.worker_id)
    with pytest.raises(ConfigInvalid):
        worker_id(home, "", "node")


def test_what_a_crash_left_half_written_is_no_hindrance(home: Home) -> None:
    home.worker_id.with_name("worker-id~").write_text("ha")
    first = worker_id(home, "", "node")
    assert worker_id(home, "", "node") == first
    assert not home.worker_id.with_name("worker-id~").exists()


@pytest.mark.parametrize(
    ("node", "name"),
    [("Laptop.local", "laptop"), ("my_host", "my_host"), ("Rechner Ü", "rechner"), ("...", "worker"), ("", "worker")],
)
def test_a_machines_name_becomes_part_of_an_id(node: str, name: str) -> None:
    assert short_name(node) == name


def test_the_token_stays_and_is_private(home: Home) -> None:
    first = api_token(home)
    assert len(first) >= 40
    assert api_token(home) == first
    assert stat.S_IMODE(home.api_token.stat().st_mode) == 0o600
    home.api_token.write_text("short\n")
    with pytest.raises(ConfigInvalid) as caught:
        api_token(home)
    assert "short" not in str(caught.value)

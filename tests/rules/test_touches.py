"""The file-scope gate."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite.rules.touches import literal_prefix, overlap

_parts = st.lists(st.sampled_from(["a", "b", "ab", "c"]), max_size=4)
_paths = _parts.map(lambda parts: "/" + "/".join(parts))


@given(st.lists(_paths, max_size=3), st.lists(_paths, max_size=3))
def test_overlap_is_mutual(mine: list[str], theirs: list[str]) -> None:
    assert overlap(mine, theirs) == overlap(theirs, mine)


@given(_paths, _paths)
def test_two_paths_overlap_exactly_when_one_lies_in_the_other(one: str, other: str) -> None:
    a = [part for part in one.split("/") if part]
    b = [part for part in other.split("/") if part]
    assert overlap([one], [other]) == (a[: len(b)] == b or b[: len(a)] == a)


@given(_parts, st.sampled_from(["*", "**", "x?.py", "[ab]", "{a,b}"]), _parts)
def test_the_prefix_ends_before_the_first_wildcard(before: list[str], wild: str, after: list[str]) -> None:
    glob = "/".join([*before, wild, *after])
    assert literal_prefix(glob, "/top") == posixpath.normpath("/".join(["/top", *before]))


@given(_parts.filter(bool))
def test_a_path_without_wildcards_is_itself(parts: list[str]) -> None:
    assert literal_prefix("/".join(parts), "/top") == "/top/" + "/".join(parts)
    assert literal_prefix("/" + "/".join(parts), "/top") == "/" + "/".join(parts)


@pytest.mark.parametrize(
    ("glob", "prefix"),
    [("/*", "/"), ("**", "/top"), ("./a/../b", "/top/b"), ("/", "/"), ("a/", "/top/a"), ("a//b/*", "/top/a/b")],
)
def test_prefixes_at_the_edges(glob: str, prefix: str) -> None:
    assert literal_prefix(glob, "/top") == prefix


def test_a_name_that_only_begins_alike_does_not_overlap() -> None:
    assert not overlap(["/p/server"], ["/p/server2"])
    assert overlap(["/"], ["/p"])
    assert not overlap([], ["/p"])

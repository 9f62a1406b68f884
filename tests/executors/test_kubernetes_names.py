"""Names in the cluster: always legal, always the same, never one for two things."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from lite.executors.kubernetes import names

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?\Z")

ULID = "01j9zq3k5w7x8y2v4n6m0r1t3s"
words = st.one_of(
    st.text(max_size=80),
    st.text("abcx019-", max_size=70),
    st.sampled_from([ULID, "a", "a-b", "", "A", "qd", f"{ULID}-1", "x0123456789abcdef"]),
)
attempts = st.integers(1, 10_000)


def test_usual_names_can_be_read() -> None:
    assert names.pod_name("home7", ULID, 3) == f"qd-home7-{ULID}-3"
    assert names.claim_name("home-7", ULID) == f"qd-home-7-{ULID}-staging"
    assert names.label_value("team.a_B") == "team.a_B"


@given(words, words, attempts)
def test_they_are_legal(fleet: str, thing: str, attempt: int) -> None:
    assert _DNS_LABEL.match(names.pod_name(fleet, thing, attempt))
    assert _DNS_LABEL.match(names.claim_name(fleet, thing))
    assert _LABEL_VALUE.match(names.label_value(thing))


@given(words, words, attempts, words, words, attempts)
@example("a-b", "c", 1, "a", "b-c", 1)
@example("a", "b-1", 2, "a", "b", 12)
@example("a", "B", 1, "a", "b", 1)
@example("a" * 60, "b", 1, "a" * 60, "c", 1)
def test_two_things_never_share_one(fleet: str, thing: str, attempt: int, other: str, second: str, again: int) -> None:
    if (fleet, thing, attempt) != (other, second, again):
        assert names.pod_name(fleet, thing, attempt) != names.pod_name(other, second, again)
    if (fleet, thing) != (other, second):
        assert names.claim_name(fleet, thing) != names.claim_name(other, second)
    if thing != second:
        assert names.label_value(thing) != names.label_value(second)


@given(words)
def test_a_hashed_value_is_not_the_plain_value_of_anything_else(text: str) -> None:
    made = names.label_value(text)
    if made != text:
        assert names.label_value(made) != made


@given(words, words, attempts)
def test_a_hashed_name_is_not_the_plain_name_of_anything_else(fleet: str, thing: str, attempt: int) -> None:
    made = names.claim_name(fleet, thing).removesuffix("-staging")
    if made != f"qd-{fleet}-{thing}":
        before, _, last = made.removeprefix("qd-").rpartition("-")
        assert names.claim_name(before, last).removesuffix("-staging") != made
    assert names.pod_name(fleet, thing, attempt) == names.pod_name(fleet, thing, attempt)

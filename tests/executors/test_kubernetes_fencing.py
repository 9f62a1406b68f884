"""Every change of a pod is bound to the object that was read, and says whose it is."""

from __future__ import annotations

from typing import Any

import pytest

from lite.executors.kubernetes import names
from lite.executors.kubernetes.fencing import delete_options, token_of, token_patch


def pod(token: Any = None) -> dict[str, Any]:
    annotations = {} if token is None else {names.TOKEN: token}
    return {"metadata": {"name": "p", "uid": "u1", "resourceVersion": "41", "annotations": annotations}}


@pytest.mark.parametrize(
    ("found", "token"),
    [
        (pod("7"), 7),
        (pod("0"), 0),
        (pod(), 0),
        (pod("-7"), 0),
        (pod("7.5"), 0),
        (pod(""), 0),
        (pod("seven"), 0),
        (pod("\u0667"), 0),  # a digit, and none of ours
        (pod(7), 0),  # annotations are text
        ({"metadata": {"annotations": None}}, 0),
        ({"metadata": None}, 0),
        ({}, 0),
    ],
)
def test_the_token_that_is_written_at_a_pod(found: dict[str, Any], token: int) -> None:
    assert token_of(found) == token


@pytest.mark.parametrize(("asked", "grace"), [(-1, 1), (0, 1), (1, 1), (2, 2), (30, 30)])
def test_a_deletion_is_of_this_object_as_it_was_read_and_never_without_a_grace(asked: int, grace: int) -> None:
    assert delete_options(pod("7"), asked) == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": grace,
        "preconditions": {"uid": "u1", "resourceVersion": "41"},
    }


def test_a_token_is_written_to_the_object_it_was_read_of() -> None:
    assert token_patch(pod("7"), 9) == {"metadata": {"resourceVersion": "41", "annotations": {names.TOKEN: "9"}}}


@pytest.mark.parametrize("found", [{}, {"metadata": None}, {"metadata": {"uid": None}}])
def test_what_does_not_say_which_object_it_is_deletes_none(found: dict[str, Any]) -> None:
    assert delete_options(found, 1)["preconditions"] == {"uid": "", "resourceVersion": ""}  # null would mean any
    assert token_patch(found, 1)["metadata"]["resourceVersion"] is None

"""The stub these tests stand on has the shape of the real facade."""

from __future__ import annotations

import inspect

from lite.engine.operations import Operations
from tests.api.stub_operations import StubOperations


def public(kind: type) -> dict[str, object]:
    return {name: member for name, member in vars(kind).items() if not name.startswith("_") and callable(member)}


def test_every_verb_takes_the_same_arguments() -> None:
    ours = public(StubOperations)
    for name, member in public(Operations).items():
        if name == "inspect":
            continue  # the API has no use for it
        assert name in ours
        real, stub = inspect.signature(member), inspect.signature(ours[name])  # type: ignore[arg-type]
        told = [[(one.name, one.kind, one.default) for one in each.parameters.values()] for each in (real, stub)]
        assert told[0] == told[1], name

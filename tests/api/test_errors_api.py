"""Every refusal has one shape, a fitting status and says what to do."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from lite import errors
from lite.api.exchange import rebuilt
from lite.api.server.edge import MAX_BODY
from tests.api.stub_operations import StubOperations

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.QuarterdeckError)]


def error_of(answered: httpx.Response) -> dict[str, str]:
    assert set(answered.json()) == {"error"}
    error: dict[str, str] = answered.json()["error"]
    assert set(error) == {"code", "message", "hint", "place"}
    assert answered.text.endswith("\n")
    return error


@pytest.mark.parametrize("kind", KINDS)
async def test_each_error_arrives_as_the_class_that_was_raised(
    http: httpx.AsyncClient, operations: StubOperations, kind: type[errors.QuarterdeckError]
) -> None:
    operations.fail = kind("what", hint="do", place="f:1:2")
    answered = await http.get("/v1/tasks/x")
    assert answered.status_code == kind.status
    again = rebuilt(answered.status_code, answered.content)
    assert type(again) is kind
    assert (again.message, again.hint, again.place, again.exit_code) == ("what", "do", "f:1:2", kind.exit_code)


async def test_an_unexpected_exception_tells_nothing_of_the_inside(
    http: httpx.AsyncClient, operations: StubOperations, caplog: pytest.LogCaptureFixture
) -> None:
    operations.fail = RuntimeError("secret")
    answered = await http.get("/v1/tasks/x")
    assert answered.status_code == 500
    assert error_of(answered)["code"] == "internal"
    assert "secret" not in answered.text
    assert "secret" in caplog.text


@pytest.mark.parametrize(
    ("body", "place", "words"),
    [
        ({"promt": "x"}, "promt", "did you mean 'prompt'?"),
        ({"http": {"url": "u", "methd": "GET"}}, "http.methd", "did you mean 'method'?"),
        ({"priority": "high"}, "priority", "integer"),
        ({"priority": True}, "priority", "integer"),
        ({"priority": 10**30}, "priority", "too large"),
        ({"needs": ["a", 3]}, "needs[1]", "string"),
        ({"mode": "loud"}, "mode", "'interactive' or 'headless'"),
        ({"env": {"A": 1}}, "env.A", "string"),
        ({"env": {"A": "\0"}}, "env.A", "NUL"),
        ({"prompt": "\ud800"}, "prompt", "nicode"),
        ({"http": {}}, "http.url", "required"),
        ({"command": 3}, "command", "string"),
    ],
)
async def test_a_wrong_field_is_named(http: httpx.AsyncClient, body: dict[str, Any], place: str, words: str) -> None:
    answered = await http.post("/v1/tasks", content=__import__("json").dumps(body))
    assert answered.status_code == 400
    error = error_of(answered)
    assert (error["code"], error["place"]) == ("usage", place)
    assert words in error["message"] + error["hint"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"x"', b"null", b"\xff", b"[" * 100_000, b'{"priority": NaN}'])
async def test_a_body_that_is_no_json_object(http: httpx.AsyncClient, content: bytes) -> None:
    answered = await http.post("/v1/tasks", content=content)
    assert answered.status_code in (400, 422)
    assert error_of(answered)["code"] == "usage"


@pytest.mark.parametrize(
    ("query", "place", "words"),
    [
        ("stat=queued", "stat", "did you mean 'state'?"),
        ("state=gone", "state", "queued"),
        ("limit=0", "limit", "greater"),
        ("after=1e3", "after", "integer"),
        (f"after={2**70}", "after", "less"),
        ("name=%00", "name", "NUL"),
        ("run=x&adhoc=true", "adhoc", "ad-hoc"),
    ],
)
async def test_a_wrong_filter_is_named(http: httpx.AsyncClient, query: str, place: str, words: str) -> None:
    answered = await http.get(f"/v1/tasks?{query}")
    assert answered.status_code == 400
    error = error_of(answered)
    assert error["place"].removesuffix("[0]") == place
    assert words in error["message"] + error["hint"]


async def test_wrong_paths_and_methods(http: httpx.AsyncClient) -> None:
    nowhere = await http.get("/v1/tusks")
    assert (nowhere.status_code, error_of(nowhere)["code"]) == (404, "not-found")
    split = await http.get("/v1/tasks/run/name")
    assert "%2F" in error_of(split)["hint"]
    wrong = await http.delete("/v1/tasks")
    assert (wrong.status_code, error_of(wrong)["code"]) == (405, "usage")
    assert wrong.headers["allow"]


async def test_a_body_has_a_size_limit_with_and_without_a_length(http: httpx.AsyncClient) -> None:
    async def pieces() -> Any:
        for _ in range(3):
            yield b" " * (MAX_BODY // 2)

    for content in (b" " * (MAX_BODY + 1), pieces()):
        answered = await http.post("/v1/tasks", content=content)
        assert (answered.status_code, error_of(answered)["code"]) == (413, "too-large")

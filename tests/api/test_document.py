"""The OpenAPI document is complete and true; nothing it allows makes a server error."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lite.api import messages
from lite.api.server.app import build_app
from tests.api.stub_operations import StubOperations

STREAMS = {"/v1/events/stream", "/v1/activities/stream"}  # without an end


def document() -> dict[str, Any]:
    return build_app(StubOperations()).openapi()  # type: ignore[arg-type]


def operations_of(found: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


async def test_it_is_served_and_every_reference_in_it_leads_somewhere(http: httpx.AsyncClient) -> None:
    found = (await http.get("/openapi.json")).json()
    assert found["openapi"].startswith("3.")
    schemas = found["components"]["schemas"]
    used = set(references(found))
    assert used
    for reference in used:
        assert reference.removeprefix("#/components/schemas/") in schemas


def test_every_operation_tells_its_answer_its_errors_and_its_path_parameters() -> None:
    seen = set()
    for method, path, operation in operations_of(document()):
        seen.add(operation["operationId"])
        good = [status for status in operation["responses"] if status.startswith("2")]
        assert good, path
        for status in good:
            assert operation["responses"][status]["content"], (method, path)
        default = operation["responses"]["default"]["content"]["application/json"]["schema"]
        assert default == {"$ref": "#/components/schemas/ErrorJson"}, path
        named = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path))
    assert len(seen) == len(list(operations_of(document())))


def test_the_schemas_are_those_of_the_messages() -> None:
    schemas = document()["components"]["schemas"]
    assert set(schemas["TaskJson"]["required"]) == set(messages.TaskJson.__annotations__)
    assert schemas["SubmitBody"]["additionalProperties"] is False
    assert "url" in schemas["HttpCallBody"]["required"]


text = st.text(max_size=20) | st.sampled_from(["../..", "%00", "a/b", "\ud800", "-1", "💥"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
CALLS = [(method, path, op) for method, path, op in operations_of(document()) if path not in STREAMS]


def _body(draw: st.DrawFn, operation: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """Half right: known keys with likely and unlikely values."""
    shape = json.dumps(operation.get("requestBody", {}))
    named = re.search(r"schemas/(\w+)", shape)
    if named is None or draw(st.integers(0, 5)) == 0:
        return draw(values)
    properties = schemas[named[1]]["properties"]
    made = {}
    for name in draw(st.lists(st.sampled_from(sorted(properties)), unique=True, max_size=4)):
        kind = properties[name].get("type")
        fitting = {
            "string": text,
            "integer": st.integers(),
            "boolean": st.booleans(),
            "array": st.lists(text, max_size=3),
            "object": st.dictionaries(text, text, max_size=2),
        }.get(kind, values)
        made[name] = draw(fitting | values)
    return made


def encodable(value: str) -> str:
    return value.encode("utf-8", "replace").decode()


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, list[tuple[str, str]], str]:
    method, path, operation = draw(st.sampled_from(CALLS))
    path = re.sub(r"{\w+}", lambda _: draw(st.sampled_from(["a", "a%2Fb", "%00", "%ff", "0"])), path)
    known = [one["name"] for one in operation.get("parameters", []) if one["in"] == "query"]
    query: list[tuple[str, str]] = []
    for _ in range(draw(st.integers(0, 3))):
        value = draw(text | st.integers().map(str) | st.sampled_from(["true", "out", "packets", "queued"]))
        name = draw(st.sampled_from(known) if known else text)
        if name not in ("follow", "wait_ms"):
            query.append((encodable(name), encodable(value)))
    return method, path, query, json.dumps(_body(draw, operation, SCHEMAS))


SCHEMAS = document()["components"]["schemas"]


def test_no_request_makes_a_server_error() -> None:
    app: Any = build_app(StubOperations())  # type: ignore[arg-type]
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://qd")

    async def ask(method: str, path: str, query: list[tuple[str, str]], body: str) -> None:
        content = body.encode() if method == "POST" else None
        answered = await client.request(method, path, params=query, content=content)
        assert answered.status_code < 500, (method, path, query, body, answered.text)
        if answered.status_code >= 400:
            assert answered.json()["error"]["code"]

    @settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
    @given(requests())
    def check(request: tuple[str, str, list[tuple[str, str]], str]) -> None:
        runner.run(ask(*request))

    with asyncio.Runner() as runner:
        check()
        runner.run(client.aclose())

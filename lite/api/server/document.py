"""The OpenAPI document, made when somebody first asks: schemas of the messages cost start-up time otherwise."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter
from typing_extensions import is_typeddict

from lite.api import messages, messages_workers
from lite.api.server import bodies  # noqa: F401 - makes the bodies strict before their schemas are taken


def document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        for name, schema in _messages().items():
            schemas.setdefault(name, schema)
        app.openapi_schema = made
    return app.openapi_schema


def _messages() -> dict[str, Any]:
    names = {**vars(messages), **vars(messages_workers)}
    kinds = [kind for kind in names.values() if is_typeddict(kind)]
    adapters = [(kind.__name__, "serialization", TypeAdapter(kind)) for kind in kinds]
    _, found = TypeAdapter.json_schemas(adapters, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    definitions: dict[str, Any] = found["$defs"]
    return definitions

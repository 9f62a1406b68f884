"""The JSON Schemas agree with what is read."""

from __future__ import annotations

import subprocess
import sys

from lite.config.plan import TaskModel, plan_schema
from lite.config.settings import settings_schema
from lite.model.order import Order


def test_the_schemas_know_every_key_and_refuse_others() -> None:
    settings = settings_schema()
    assert settings["additionalProperties"] is False
    assert {"agents", "routing", "limits", "backend", "executor", "retry"} <= set(settings["properties"])
    task = plan_schema()["$defs"]["TaskModel"]
    assert set(task["properties"]) == set(TaskModel.model_fields)
    assert task["additionalProperties"] is False
    command = task["properties"]["command"]["anyOf"][0]
    assert {kind["type"] for kind in command["anyOf"]} == {"string", "array"}


def test_every_key_of_a_task_has_its_place_in_an_order() -> None:
    renamed = {"timeout": "timeout_ms", "idle_timeout": "idle_timeout_ms", "delay": "delay_ms"}
    keys = {renamed.get(key, key) for key in TaskModel.model_fields} - {"workspace"}
    assert keys == set(Order.__dataclass_fields__) - {"name", "places", "watched"}


def test_the_rules_do_without_pydantic_and_yaml() -> None:
    modules = [
        "compile",
        "route",
        "place",
        "lanes",
        "explain",
        "prompt",
        "dag",
        "retry",
        "touches",
        "checks",
        "problems",
        "spelling",
        "hindrances",
    ]
    imports = ", ".join(f"lite.rules.{name}" for name in modules)
    code = f"import sys, {imports}; print('pydantic' in sys.modules, 'yaml' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False False\n"

"""What a worker may ask of the cluster: the Role of the example's deployment, as rules for the fake one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

_FILE = Path(__file__).parents[2] / "examples" / "06_kubernetes" / "base" / "accounts.yaml"


def role_rules() -> list[dict[str, Any]]:
    (role,) = [one for one in yaml.safe_load_all(_FILE.read_text(encoding="utf-8")) if one["kind"] == "Role"]
    rules: list[dict[str, Any]] = role["rules"]
    return rules


def role_verbs() -> set[tuple[str, str]]:
    """(resource, verb), each allowed."""
    return {(resource, verb) for rule in role_rules() for resource in rule["resources"] for verb in rule["verbs"]}

"""What the guides show is true: their YAML is accepted, their commands and links exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lite.cli.commands import FAMILIES
from lite.cli.commands import __file__ as commands_file
from lite.config.load import load_text
from lite.config.plan import load_plan
from lite.rules.compile import compile_plan
from providers.registry import Registry
from tests.examples.project import EXAMPLES, ROOT

GUIDES = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")] + sorted(
    EXAMPLES.glob("*/README.md")
)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_readmes_configuration_routes_its_plan() -> None:
    plan, config, secrets = blocks((ROOT / "README.md").read_text(), "yaml")
    registry = Registry.with_installed()
    settings = load_text(config, "README.md", providers=registry.names(), environ={})
    ids = iter("abc")
    submission = compile_plan(
        load_plan(plan, "README.md", "/project"),
        settings,
        registry.capabilities(),
        run_id="r",
        new_id=lambda: next(ids),
        now=0,
    )
    assert [spec.agent for spec in submission.tasks] == ["dev", "dev", "shell"]
    assert set(load_text(secrets, "README.md", environ={}).secrets) == {"key", "token", "vault", "api"}
    assert load_text(secrets, "README.md", providers=registry.names(), environ={}).secrets
    shown = set(re.findall(r"^(\w+):", config, re.MULTILINE))
    assert shown >= {"agents", "routing", "limits", "retry", "lease", "recording"}


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_and_links_exist(guide: Path) -> None:
    text = guide.read_text()
    commands = re.findall(r"^(?:\$ )?qd ([a-z]+)", "\n".join(blocks(text, "")), re.MULTILINE)
    commands += re.findall(r"`qd ([a-z]+)", text)
    unknown = set(commands) - set(FAMILIES)
    assert unknown == set(), f"not in {commands_file}"
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert [link for link in links if "://" not in link and not (guide.parent / link).exists()] == []

"""Secrets in the file: only where they are, by names; what was written in their place is never repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from lite.cli.config import plain
from lite.config.load import load_settings, load_text
from lite.config.settings import settings_schema
from lite.errors import ConfigInvalid
from lite.model.settings import Secret, Settings

WRITTEN = "sk-ant-api03-written-by-mistake"


def load(text: str) -> Settings:
    return load_text(text, "/etc/qd/quarterdeck.yaml", environ={})


def test_every_source_is_read() -> None:
    settings = load(
        """
secrets:
  key: {env: MY_KEY}
  token: {file: keys/token, hosts: [api.example.com, "http://localhost:8080"]}
  vault: {command: [pass, show, x], ttl: 15m}
agents:
  dev: {provider: claude, secrets: {ANTHROPIC_API_KEY: key, OWN: {env: ONLY_MINE}, REL: {file: mine}}}
"""
    )
    assert settings.secrets == {
        "key": Secret(env="MY_KEY"),
        "token": Secret(file="/etc/qd/keys/token", hosts=("api.example.com", "http://localhost:8080")),
        "vault": Secret(command=("pass", "show", "x"), ttl_ms=900_000),
    }
    assert settings.agents["dev"].secrets == {
        "ANTHROPIC_API_KEY": "key",
        "OWN": Secret(env="ONLY_MINE"),
        "REL": Secret(file="/etc/qd/mine"),
    }


WRONG = {
    "the value itself": f"secrets: {{k: {WRITTEN}}}",
    "a list": f"secrets: {{k: [{WRITTEN}]}}",
    "the value for a source": f"secrets: {{k: {{value: {WRITTEN}}}}}",
    "the value for all": f"secrets: {WRITTEN}",
    "the value for a variable": f"secrets: {{k: {{env: {WRITTEN}}}}}",
    "the value for a command": f"secrets: {{k: {{command: {WRITTEN}}}}}",
    "two sources": f"secrets: {{k: {{env: A, file: {WRITTEN}}}}}",
    "nothing": "secrets: {k: {}}",
    "an agent's value": f"agents: {{a: {{provider: shell, secrets: {{K: {WRITTEN}}}}}}}",
    "an agent's list": f"agents: {{a: {{provider: shell, secrets: {{K: [{WRITTEN}]}}}}}}",
    "an agent's text": f"agents: {{a: {{provider: shell, secrets: {WRITTEN}}}}}",
    "a variable of ours": "agents: {a: {provider: shell, secrets: {QD_HOME: {env: X}}}}",
    "no variable": "agents: {a: {provider: shell, secrets: {A-B: {env: X}}}}",
    "env as well": "agents: {a: {provider: shell, env: {K: v}, secrets: {K: {env: X}}}}",
    "a name that is none": "secrets: {A B: {env: X}}",
    "a ttl of a variable": "secrets: {k: {env: X, ttl: 5m}}",
    "a host that is none": "secrets: {k: {env: X, hosts: [a/b]}}",
    "a wildcard": "secrets: {k: {env: X, hosts: ['*.example.com']}}",
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_without_repeating_it(name: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load(WRONG[name])
    said = f"{caught.value} {caught.value.hint} {caught.value.__cause__}"
    assert "quarterdeck.yaml:1:" in said
    assert WRITTEN not in said


def test_a_name_that_nobody_declared_names_those_that_are() -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load("secrets: {one: {env: X}, two: {env: Y}}\nagents: {a: {provider: shell, secrets: {K: three}}}")
    assert "agents.a.secrets.K does not name a secret" in caught.value.message
    assert caught.value.hint == "secrets: one, two"


def test_showing_the_configuration_shows_references(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "canary-value-of-the-test")
    path = tmp_path / "quarterdeck.yaml"
    path.write_text("secrets: {k: {env: MY_KEY}}\nagents: {a: {provider: shell, secrets: {K: k}}}")
    shown = str(plain(load_settings(path)))
    assert "MY_KEY" in shown
    assert "canary" not in shown


def test_the_schema_says_what_a_secret_may_be() -> None:
    schema = settings_schema()
    assert set(schema["$defs"]["SecretModel"]["properties"]) == {"env", "file", "command", "ttl", "hosts"}
    assert schema["properties"]["secrets"]["additionalProperties"] == {"$ref": "#/$defs/SecretModel"}

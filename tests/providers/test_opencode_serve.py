"""opencode by way of its server: what is launched for the driver, and when."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from providers.base import Provider, Request
from providers.driven import SPEC, DrivenParser
from providers.errors import InvalidRequest
from providers.opencode import OpenCodeProvider
from providers.opencode_events import OpenCodeParser
from providers.opencode_serve import PASSWORD
from providers.testing import ProviderContract

ASK = Request(
    task="t1",
    attempt=1,
    mode="headless",
    prompt="Say hello",
    cwd="/project",
    model="ours/m-1",
    options={"permissions": "ask"},
    python=("qd",),
)


class TestContract(ProviderContract):
    @pytest.fixture
    def provider(self) -> Provider:
        return OpenCodeProvider()

    @pytest.fixture
    def request_(self) -> Request:
        return ASK


def spec_of(request: Request) -> dict[str, Any]:
    OpenCodeProvider().validate(request)
    spec: dict[str, Any] = json.loads(OpenCodeProvider().launch(request).files[SPEC])
    return spec


def with_options(**options: Any) -> Request:
    return replace(ASK, options={**ASK.options, **options})


def test_permissions_make_it_a_conversation() -> None:
    provider = OpenCodeProvider()
    assert provider.launch(ASK).argv == ("qd", "_drive", f"@{SPEC}")
    assert isinstance(provider.parser(ASK), DrivenParser)
    plain = replace(ASK, options={})
    assert provider.launch(plain).argv[:2] == ("opencode", "run")
    assert isinstance(provider.parser(plain), OpenCodeParser)
    assert provider.launch(replace(ASK, mode="interactive")).argv[0] == "opencode"
    assert provider.capabilities().answers


def test_the_server_listens_on_loopback_with_a_password_that_is_not_written_down() -> None:
    spec = spec_of(with_options(args=["--pure"], title="T", variant="high", agent="plan"))
    command = " ".join(spec["command"])
    assert command.startswith("opencode serve --hostname 127.0.0.1 --port 0")
    assert command.endswith("--pure")
    assert spec["secrets"] == [PASSWORD]
    launch = OpenCodeProvider().launch(ASK)
    assert PASSWORD not in launch.env
    assert (spec["title"], spec["variant"], spec["agent"], spec["model"]) == ("T", "high", "plan", "ours/m-1")
    assert (spec_of(ASK)["title"], spec_of(ASK)["prompt"]) == ("t1", "Say hello")


def test_its_subagents_ask_too_where_their_own_rules_do_not_say() -> None:
    mine = {"edit": "deny"}
    config = {"agent": {"general": {"permission": mine}}, "share": "disabled"}
    given = json.loads(OpenCodeProvider().launch(with_options(config=config)).env["OPENCODE_CONFIG_CONTENT"])
    assert given["share"] == "disabled"
    assert given["agent"]["general"]["permission"] == mine
    assert given["agent"]["explore"]["permission"]["bash"] == "ask"
    allowed = replace(ASK, options={"permissions": "allow"})
    assert "OPENCODE_CONFIG_CONTENT" not in OpenCodeProvider().launch(allowed).env


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"permissions": "perhaps"}, "options.permissions"),
        ({"permissions": "ask", "auto": True}, "options.auto"),
        ({"permissions": "ask", "wait_for": "5m"}, "options.wait_for"),
        ({"permissions": "wait", "wait_for": "soon"}, "options.wait_for"),
        ({"wait_for": "5m"}, "options.wait_for"),
        ({"start_timeout": "5m"}, "options.start_timeout"),
        ({"permissions": "ask", "start_timeout": "never"}, "options.start_timeout"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_field(options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        OpenCodeProvider().validate(replace(ASK, options=options))
    assert refused.value.field == field

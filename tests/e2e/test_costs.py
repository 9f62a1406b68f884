"""What agents report of each attempt ends in `qd costs`, whatever became of the attempt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.fleet import Fleet
from tests.support.redis_server import RedisServer

CONFIG = """
agents:
  told: {provider: scripted, options: {steps: [{usage: {tokens_in: 100, tokens_out: 20, cost_usd: 0.5}}, {result: ok}]}}
  fails:
    provider: scripted
    retries: 1
    options: {steps: [{usage: {tokens_in: 7, tokens_out: 3, cost_usd: 0.25}}, {result: "no", ok: false}]}
  priced:
    provider: scripted
    model: m-large
    options: {steps: [{usage: {tokens_in: 1000000, tokens_out: 0}}, {result: ok}]}
  silent: {provider: scripted, mode: interactive, options: {steps: [{print: hello}]}}
prices: {"m-*": {in: 2, out: 4}}
retry: {base: 10ms}
"""


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_each_attempt_is_in_the_sums(tmp_path: Path, redis_server: RedisServer, redis_prefix: str, kind: str) -> None:
    backend = "" if kind == "sqlite" else f"backend: {{url: '{redis_server.url}', prefix: {redis_prefix}}}\n"
    with Fleet(tmp_path / "project") as fleet:
        (fleet.project / "quarterdeck.yaml").write_text(CONFIG + backend)
        assert fleet.up() == "ready", fleet.errors()
        assert "no agent has ended" in fleet.qd("costs").stderr
        for agent in ("told", "told", "fails", "priced", "silent"):
            fleet.qd("submit", "--agent", agent, "--wait", "go", check=False)
        fleet.qd("submit", "--wait", "--", "true")  # uses no model: not in the ledger
        found: dict[str, Any] = json.loads(fleet.qd("costs", "--json").stdout)
        sums = {one["key"]: one for one in found["costs"]}
        assert {key: one["attempts"] for key, one in sums.items()} == {"told": 2, "fails": 2, "priced": 1, "silent": 1}
        assert (sums["told"]["tokens_in"], sums["told"]["reported_usd"]) == (200, 1.0)
        assert (sums["fails"]["tokens_out"], sums["fails"]["reported_usd"]) == (6, 0.5)
        assert (sums["priced"]["reported_usd"], sums["priced"]["estimated_usd"]) == (0, 2.0)
        assert (sums["silent"]["uncounted"], sums["silent"]["unpriced"]) == (1, 1)
        assert found["total"]["attempts"] == 6
        shown = fleet.qd("costs", "--by", "day").stdout
        assert "$1.50" in shown
        assert "$2.00" in shown
        assert "tokens of 1, cost of 1" in shown
        assert len(json.loads(fleet.qd("costs", "--by", "task", "--json").stdout)["costs"]) == 5
        assert json.loads(fleet.qd("costs", "--since", "0s", "--json").stdout)["costs"] == []
        assert fleet.qd("costs", "--by", "moon", check=False).returncode == 2

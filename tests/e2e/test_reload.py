"""The configuration file is watched: a good change takes effect, a broken one is told of and changes nothing."""

from __future__ import annotations

from pathlib import Path

from tests.support.fleet import Fleet, until

GOOD = "agents:\n  greeter: {provider: scripted, options: {steps: [{print: hello}]}}\n"


def kinds(fleet: Fleet) -> list[str]:
    return [event["kind"] for event in fleet.events()]


def test_edited_broken_and_repaired(tmp_path: Path) -> None:
    with Fleet(tmp_path / "project") as fleet:
        assert fleet.up() == "ready", fleet.errors()
        assert fleet.qd("submit", "--agent", "greeter", "hi", check=False).returncode == 2
        config = fleet.project / "quarterdeck.yaml"
        config.write_text(GOOD)
        until(lambda: "config.reloaded" in kinds(fleet), 30, fleet.describe)
        assert (
            "hello" in fleet.qd("submit", "--agent", "greeter", "--wait", "hi").stderr + fleet.qd("logs", "hi").stdout
        )
        config.write_text("agents: {x: {provider: scriptd}}\n")
        until(lambda: "config.rejected" in kinds(fleet), 30, fleet.describe)
        doctor = fleet.qd("doctor", check=False)
        assert doctor.returncode != 0
        assert "scriptd" in doctor.stdout
        assert fleet.qd("submit", "--agent", "greeter", "--wait", "again").returncode == 0
        config.write_text(GOOD + "limits: {slots: 7}\n")
        until(lambda: fleet.client.status()["slots"] == 7, 30, fleet.describe)


def test_metrics_and_probes_answer(tmp_path: Path) -> None:
    with Fleet(tmp_path / "project") as fleet:
        assert fleet.up() == "ready", fleet.errors()
        fleet.qd("submit", "--wait", "--", "true")
        import socket

        with socket.socket(socket.AF_UNIX) as plain:
            plain.connect(str(fleet.home.socket))
            plain.sendall(b"GET /metrics HTTP/1.1\r\nHost: qd\r\nConnection: close\r\n\r\n")
            answer = b""
            while more := plain.recv(65536):
                answer += more
        assert b" 200 " in answer.splitlines()[0]
        assert b"quarterdeck_claims_total 1" in answer
        assert fleet.client.call("GET", "/ready")
        assert fleet.client.call("GET", "/openapi.json")["openapi"].startswith("3.")

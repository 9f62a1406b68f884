"""What is prepared for a pod knows nothing of this machine, and everything of the task."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lite.engine.environment import abroad
from lite.engine.preparation import prepare
from lite.model.kubernetes import Kubernetes
from lite.model.order import Order
from lite.model.session import Origin
from lite.model.settings import Agent
from lite.model.task import Lease
from tests.engine.conftest import Make
from tests.support.engines import SETTINGS

PODS = Kubernetes(image="x", program="/opt/qd", workdir="/workspace")


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("executor", ["local", "kubernetes"])
async def test_a_pod_is_told_of_the_task_and_not_of_this_machine(
    make: Make, monkeypatch: pytest.MonkeyPatch, executor: str, own: bool
) -> None:
    agent = Agent("dev", "scripted", kubernetes=replace(PODS, program="qd-dev") if own else None, env={"ITS": "own"})
    agents = {**SETTINGS.agents, "dev": agent}
    settings = replace(SETTINGS, agents=agents, executor=executor, kubernetes=PODS, env_allow=("PASSED",))
    engine = await make(settings=settings)
    engine.context.settings = settings
    for name in ("PATH", "HOME", "SSH_AUTH_SOCK", "HTTPS_PROXY", "PASSED", "TZ"):
        monkeypatch.setenv(name, f"of this machine, {name}")
    order = Order(name="a", agent="dev", prompt="steps: []", team="blue", affinity="prefer-spread", cwd="/here")
    task, _ = await engine.operations.submit(order)
    prepared = await prepare(engine.context, task, Lease(task.id, 1, 1, "w", 0))
    ours = {name for name, value in prepared.session.env.items() if value.startswith("of this machine")}
    if executor == "local":
        assert ours == {"PATH", "HOME", "SSH_AUTH_SOCK", "HTTPS_PROXY", "PASSED", "TZ"}
        assert prepared.session.launch.argv[0] not in ("/opt/qd", "qd-dev")
        assert prepared.asked.cwd == "/here"
    else:
        assert ours == {"PASSED", "TZ"}
        assert prepared.session.launch.argv[0] == ("qd-dev" if own else "/opt/qd")
        assert prepared.asked.cwd == "/workspace"
    assert prepared.executor == executor
    assert prepared.session.env["ITS"] == "own"
    assert prepared.session.origin == Origin("", "a", "dev", "blue", {}, "prefer-spread")


def test_what_goes_abroad() -> None:
    ours = {"PATH": "/bin", "NO_COLOR": "1", "MY_ONE": "1", "MYSELF": "2", "XDG_DATA_HOME": "/home/ann"}
    assert abroad(ours, ()) == {"NO_COLOR": "1"}
    assert abroad(ours, ("MY_*", "PATH")) == {"PATH": "/bin", "NO_COLOR": "1", "MY_ONE": "1"}

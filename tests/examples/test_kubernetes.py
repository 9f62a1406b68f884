"""`examples/06_kubernetes`: what would be applied is legal, hangs together, asks for little; the laptop's plan runs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from lite.cli.commands import FAMILIES
from lite.config.load import load_text
from lite.executors.kubernetes import manifests
from lite.model.kubernetes import Kubernetes
from tests.examples.project import EXAMPLES, ROOT, Project
from tests.support.kube.control import RemoteCluster
from tests.support.kubernetes_role import role_rules, role_verbs
from tests.support.kustomize import render
from tests.support.redis_server import RedisServer, installed

Json = dict[str, Any]

EXAMPLE = EXAMPLES / "06_kubernetes"
ALL = {"base": EXAMPLE / "base", **{path.name: path for path in sorted((EXAMPLE / "overlays").iterdir())}}
PROVIDED = {("Secret", "quarterdeck", "quarterdeck-backend")}  # by whoever deploys it; the README says how

every = pytest.mark.parametrize("name", ALL)


@pytest.fixture
def objects(name: str) -> list[Json]:
    return render(ALL[name])


def of(objects: list[Json], kind: str) -> list[Json]:
    return [one for one in objects if one["kind"] == kind]


def workloads(objects: list[Json]) -> list[Json]:
    return [one for one in objects if "template" in one.get("spec", {})]


def walk(value: Any) -> Iterator[Json]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(inner)


@every
def test_every_object_is_legal(objects: list[Json]) -> None:
    for one in objects:
        kubernetes_validate.validate(one, "1.36", strict=True)
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", one["metadata"]["name"])
    named = [(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in objects]
    assert len(named) == len(set(named))


@every
def test_what_is_spoken_of_is_there(objects: list[Json]) -> None:
    there = {(one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]) for one in objects} | PROVIDED
    for one in objects:
        space = one["metadata"].get("namespace", "")
        assert not space or ("Namespace", "", space) in there
        for inner in walk(one):
            if "secretKeyRef" in inner:
                assert ("Secret", space, inner["secretKeyRef"]["name"]) in there
            if "configMap" in inner:
                assert ("ConfigMap", space, inner["configMap"]["name"]) in there
            if "serviceAccountName" in inner:
                assert ("ServiceAccount", space, inner["serviceAccountName"]) in there
            if "scaleTargetRef" in inner:
                assert (inner["scaleTargetRef"]["kind"], space, inner["scaleTargetRef"]["name"]) in there
        if one["kind"] == "RoleBinding":
            assert (one["roleRef"]["kind"], space, one["roleRef"]["name"]) in there
            for subject in one["subjects"]:
                assert (subject["kind"], subject["namespace"], subject["name"]) in there
        if one["kind"] == "StatefulSet":
            assert ("Service", space, one["spec"]["serviceName"]) in there


@every
def test_selectors_find_what_they_mean(objects: list[Json]) -> None:
    pods = {one["metadata"]["name"]: one["spec"]["template"]["metadata"]["labels"] for one in workloads(objects)}
    for one in workloads(objects):
        assert one["spec"]["selector"]["matchLabels"].items() <= pods[one["metadata"]["name"]].items()
    for one in of(objects, "Service"):
        assert one["spec"]["selector"].items() <= pods[one["metadata"]["name"]].items()
    for one in of(objects, "PodDisruptionBudget"):
        found = [
            name for name, labels in pods.items() if one["spec"]["selector"]["matchLabels"].items() <= labels.items()
        ]
        assert found == [one["metadata"]["name"]]
    for one in of(objects, "NetworkPolicy"):
        wanted = one["spec"]["podSelector"].get("matchLabels", {})
        assert not wanted or any(wanted.items() <= labels.items() for labels in pods.values())


@every
def test_volumes_ports_and_probes_hang_together(objects: list[Json]) -> None:
    for one in workloads(objects):
        spec = one["spec"]["template"]["spec"]
        volumes = {volume["name"] for volume in spec["volumes"]}
        volumes |= {claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", ())}
        (container,) = spec["containers"]
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        (port,) = container["ports"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container[probe]["httpGet"]["port"] == port["name"]
        (listen,) = [word for word in container["args"] if word.startswith("--listen=")]
        assert listen == f"--listen=$(POD_IP):{port['containerPort']}"
        names = {variable["name"] for variable in container["env"]}
        assert set(re.findall(r"\$\((\w+)\)", " ".join(container["args"]))) <= names
        assert {"QD_BACKEND", "HOME"} <= names
    for service in of(objects, "Service"):
        assert service["spec"]["ports"][0]["targetPort"] == "api"


@every
def test_commands_are_ours(objects: list[Json]) -> None:
    from lite.daemon import _parser

    for one in workloads(objects):
        (container,) = one["spec"]["template"]["spec"]["containers"]
        assert container["args"][:2] == ["qd", "up"]
        _parser().parse_args(["--home", "x", *container["args"][2:]])  # as `qd up` hands them on
        for hook in container.get("lifecycle", {}).values():
            shell, flag, script = hook["exec"]["command"]
            assert (shell, flag) == ("sh", "-c")
            assert set(re.findall(r"\bqd (\w+)", script)) <= set(FAMILIES)
            subprocess.run(["/bin/sh", "-n", "-c", script], check=True, timeout=30)


@every
def test_pods_run_where_only_restricted_ones_may(objects: list[Json]) -> None:
    for one in of(objects, "Namespace"):
        assert one["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for one in workloads(objects):
        spec = one["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 1000
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"requests", "limits"} <= set(container["resources"])


@every
def test_only_workers_have_a_token_and_only_for_the_agents_namespace(objects: list[Json]) -> None:
    with_token = [
        one["metadata"]["name"]
        for one in workloads(objects)
        if one["spec"]["template"]["spec"]["automountServiceAccountToken"]
    ]
    assert with_token == ["worker"]
    assert all(one["automountServiceAccountToken"] is False for one in of(objects, "ServiceAccount"))
    assert not of(objects, "ClusterRole")
    (role,) = of(objects, "Role")
    (binding,) = of(objects, "RoleBinding")
    assert role["metadata"]["namespace"] == "quarterdeck-agents"
    assert [subject["name"] for subject in binding["subjects"]] == ["worker"]
    assert role["rules"] == role_rules()
    assert all(rule["apiGroups"] == [""] for rule in role_rules())
    allowed = {resource for resource, _ in role_verbs()}
    assert allowed == {"pods", "pods/log", "pods/attach", "persistentvolumeclaims"}
    assert not {"*", "deletecollection", "update"} & {verb for _, verb in role_verbs()}


@every
def test_a_disruption_leaves_somebody(objects: list[Json]) -> None:
    scalers = {one["spec"]["scaleTargetRef"]["name"]: one["spec"] for one in of(objects, "HorizontalPodAutoscaler")}
    replicas = {}
    for one in workloads(objects):
        name = one["metadata"]["name"]
        assert (name in scalers) != ("replicas" in one["spec"]), "an apply would undo what the autoscaler did"
        replicas[name] = one["spec"].get("replicas") or scalers[name]["minReplicas"]
    assert min(replicas.values()) >= 2
    for one in of(objects, "PodDisruptionBudget"):
        needed = one["spec"].get("minAvailable", 1)
        assert 1 <= needed < replicas[one["metadata"]["name"]]
    assert all(one["minReplicas"] < one["maxReplicas"] for one in scalers.values())


def test_workers_are_two_to_five() -> None:
    (scaler,) = of(render(ALL["base"]), "HorizontalPodAutoscaler")
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (2, 5)


@every
def test_the_configuration_fits_the_cluster(objects: list[Json], name: str) -> None:
    (config,) = of(objects, "ConfigMap")
    text = config["data"]["quarterdeck.yaml"]
    settings = load_text(text, "quarterdeck.yaml", environ={"QD_BACKEND": "redis://:secret@redis:6379/0"})
    kube = settings.kubernetes
    assert settings.executor == "kubernetes"
    assert kube is not None
    there = {(one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]) for one in objects}
    assert ("ServiceAccount", kube.namespace, kube.service_account) in there
    (role,) = of(objects, "Role")
    assert kube.namespace == role["metadata"]["namespace"]
    assert {one["spec"]["template"]["spec"]["containers"][0]["image"] for one in workloads(objects)} == {kube.image}
    assert kube.active_deadline_ms is not None
    assert settings.stop_grace_ms < 60_000


def test_kustomize_makes_the_same_of_it() -> None:
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("kubectl is not installed")
    for folder in ALL.values():
        done = subprocess.run(
            [program, "kustomize", str(folder)], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        text = re.sub(r"(name: quarterdeck)-[a-z0-9]{10}\b", r"\1", done.stdout)
        assert keyed(list(yaml.safe_load_all(text))) == keyed(render(folder))


def keyed(objects: list[Json]) -> dict[str, Json]:
    return {
        json.dumps([one["kind"], one["metadata"]["name"], one["metadata"].get("namespace")]): one for one in objects
    }


def test_the_image_is_made_of_what_is_here() -> None:
    text = (EXAMPLE / "Containerfile").read_text()
    for line in re.findall(r"^COPY (?!--)(.+) \S+$", text, re.MULTILINE):
        for source in line.split():
            assert (ROOT / source).exists(), source
    assert re.search(r"^ARG BASE=", text, re.MULTILINE)
    assert re.findall(r"^FROM (.*)$", text, re.MULTILINE) == ["${BASE} AS build", "${BASE}"]
    assert 'ENTRYPOINT ["tini", "--"]' in text
    assert "\nUSER 1000:1000\n" in text
    assert "--require-hashes" in text
    assert "quarterdeck[kubernetes]" in text
    home = re.findall(r"QD_HOME=(\S+)", text)
    for one in workloads(render(ALL["base"])):
        mounts = {mount["mountPath"] for mount in one["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]}
        assert {str(Path(home[0]).parent), str(Path(home[0]).with_name("quarterdeck.yaml"))} <= mounts


@pytest.mark.slow
def test_probes_are_answered_without_a_token_while_there_is_much_to_do(example: Callable[[str], Project]) -> None:
    (container,) = workloads(render(ALL["base"]))[0]["spec"]["template"]["spec"]["containers"]
    project = example("01_first_plan")
    project.qd("up", "--detach", "--listen", "127.0.0.1:0", "--slots", "20")
    (worker,) = project.ask("workers")
    address = worker["address"]
    for _ in range(20):
        project.qd("submit", "--", "sh", "-c", "i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); done")
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        path, seconds = container[probe]["httpGet"]["path"], container[probe].get("timeoutSeconds", 1)
        for _ in range(20):
            with urllib.request.urlopen(f"{address}{path}", timeout=seconds) as answer:
                assert answer.status == 200
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{address}/v1/tasks", timeout=5)
    with refused.value as answer:
        assert answer.status == 401


@pytest.mark.slow
def test_the_laptop_s_plan_runs_in_pods(example: Callable[[str], Project], tmp_path: Path) -> None:
    with RemoteCluster(tmp_path / "cluster") as cluster:
        project = example("06_kubernetes")
        project.path /= "laptop"
        project.env["KUBECONFIG"] = cluster.kubeconfig("laptop", rules=role_rules())
        project.qd("run", "plan.yaml", "--wait")
        tasks = project.tasks()
        assert {name: task["state"] for name, task in tasks.items()} == dict.fromkeys(
            ("measure", "survey-1", "survey-2", "report"), "succeeded"
        )
        report = project.ask("show", "pods/report")
        used = {
            (f"{resource}/{sub}" if sub else resource, verb) for verb, _, resource, sub in cluster.used_by("laptop")
        }
    assert report["output"].startswith("seen from a pod with a terminal, Linux"), report
    assert ("pods/attach", "create") in used
    assert used <= role_verbs()


@pytest.mark.slow
def test_orchestrators_and_workers_are_what_the_manifests_make_of_them(tmp_path: Path) -> None:
    """One of each on this machine, with the arguments, configuration, rights and hooks of the cluster's."""
    if not installed():
        pytest.skip("redis-server is not installed")
    objects = render(ALL["base"])
    containers = {
        one["metadata"]["name"]: one["spec"]["template"]["spec"]["containers"][0] for one in workloads(objects)
    }
    (config,) = of(objects, "ConfigMap")
    with (
        ExitStack() as stack,
        RemoteCluster(tmp_path / "cluster", namespace="quarterdeck-agents") as cluster,
    ):
        (tmp_path / "redis").mkdir()
        redis = RedisServer(tmp_path / "redis", requirepass="hidden").start()
        stack.callback(redis.stop)
        cluster.service_accounts(["agent"])
        projects = {}
        try:
            for name, container in containers.items():
                (tmp_path / name).mkdir()
                projects[name] = project = Project(tmp_path / name, "06_kubernetes")
                project.env |= {
                    "QD_BACKEND": redis.url.replace("//", f"//:{redis.password}@"),
                    "QD_HOME": str(project.path / ".quarterdeck"),
                    "KUBECONFIG": str(tmp_path / "nothing"),
                }
                (project.path / "quarterdeck.yaml").write_text(config["data"]["quarterdeck.yaml"])
                if name == "worker":
                    project.env["KUBECONFIG"] = cluster.kubeconfig(name, rules=role_rules())
                words = [word.replace("$(POD_IP):8700", "127.0.0.1:0") for word in container["args"][2:]]
                project.qd("up", "--detach", *words)
            orchestrator, worker = projects["orchestrator"], projects["worker"]
            orchestrator.qd("submit", "--wait", "--name", "pod", "--", "sh", "-c", 'echo "pod says hello"; env')
            log = orchestrator.qd("logs", "pod")
            assert "pod says hello" in log
            assert "QD_BACKEND" not in log
            assert "hidden" not in log

            hooks = containers["worker"]["lifecycle"]
            env = worker.env | {"HOME": str(worker.path)}
            assert run_hook(hooks["preStop"], env) == 0
            (there,) = orchestrator.ask("workers")
            assert there["cordoned"]
            assert run_hook(hooks["postStart"], env) == 0
            (there,) = orchestrator.ask("workers")
            assert not there["cordoned"]
            assert run_hook(hooks["postStart"], env) == 0
        finally:
            for project in projects.values():
                project.close()


def run_hook(hook: Json, env: dict[str, str]) -> int:
    return subprocess.run(hook["exec"]["command"], env=env, timeout=60, check=False, capture_output=True).returncode


def test_the_laptop_s_configuration_is_read() -> None:
    text = (EXAMPLE / "laptop" / "quarterdeck.yaml").read_text()
    settings = load_text(text, "quarterdeck.yaml", environ={})
    assert isinstance(settings.kubernetes, Kubernetes)
    assert settings.backend == "sqlite"
    assert manifests.CONTAINER

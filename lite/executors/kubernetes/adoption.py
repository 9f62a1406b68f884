"""Taking over a pod whose worker is gone for good, with all that was its own: the bridge, the session's folder.

What the next worker has to know stands at the pod. First of all the token is raised there: from then on nothing of the
old machine can end the pod, should it live after all. A pod that nobody here can go on with is ended, for the next
attempt would do that too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lite.aio.probe import hit
from lite.errors import HandleGone
from lite.executors.kubernetes import bootstrap, manifests, names
from lite.executors.kubernetes.bridge_marks import Head
from lite.executors.kubernetes.client import KubernetesClient
from lite.executors.kubernetes.credentials import Way
from lite.executors.kubernetes.failures import ApiRefused, Conflicting, PodNotFound
from lite.executors.kubernetes.fencing import delete_options, token_of, token_patch
from lite.executors.kubernetes.handle import Handle
from lite.executors.kubernetes.outcomes import GONE_GRACE_MS, state_of
from lite.executors.kubernetes.pod_file import PodFile
from lite.ports import Clock

Json = dict[str, Any]

_VERSION = 1
_HEAD = 64 << 10  # bytes of a log: the marks of the beginning are among them
_WRITTEN_SECONDS = 2.0  # in which a container's first words come to stand in its log
_KEPT: Mapping[str, type] = {
    "tty": bool,
    "stdin": bool,
    "grace_ms": int,
    "cols": int,
    "rows": int,
    "cap_bytes": int,
    "record": bool,
    "hidden": bool,
}


def kept_of(file: PodFile) -> str:
    """What a worker without this file has to know, for an annotation of the pod."""
    return json.dumps({"v": _VERSION, **{name: getattr(file, name) for name in _KEPT}}, separators=(",", ":"))


async def adopt(client: KubernetesClient, clock: Clock, parts: Handle, token: int) -> PodFile:
    """The pod is ours now, and this is what its next bridge needs. Raises `HandleGone` for a pod that is gone, is
    somebody else's, or was ended because nobody can go on with it here; `ApiUnavailable` when nothing is known."""
    try:
        pod = await _fenced(client, clock, parts, token)
        fields = _kept(pod)
        if fields is None:
            why = "it was started by another version"
        elif fields["hidden"]:
            why = "what has to be hidden in its output is known to its worker only"
        elif not await _begun(client, clock, parts, pod):
            why = "it had not begun, and what it was to begin with is known to its worker only"
        else:
            return _file(client.way, parts, token, fields)
        await _end(client, parts, token)
    except ApiRefused as error:
        raise HandleGone(f"pod {parts.pod} cannot be taken over: {error}") from error
    raise HandleGone(f"pod {parts.pod} was ended, its worker is gone: {why}")


async def _fenced(client: KubernetesClient, clock: Clock, parts: Handle, token: int) -> Json:
    """The pod with our token on it."""
    missing = False
    while True:
        try:
            pod = await client.get_pod(parts.namespace, parts.pod)
            metadata = pod["metadata"]
            if (metadata.get("annotations") or {}).get(names.SESSION) != parts.session or token_of(pod) > token:
                raise HandleGone(f"somebody else has pod {parts.pod}")
            if token_of(pod) < token:
                pod = await client.patch_pod(parts.namespace, parts.pod, token_patch(pod, token))
        except Conflicting:
            continue
        except PodNotFound:
            if missing:
                raise HandleGone(f"pod {parts.pod} is gone") from None
            missing = True
            await clock.sleep(GONE_GRACE_MS / 1000)
            continue
        hit("kubernetes.fenced", pod=parts.pod)
        if metadata.get("deletionTimestamp") and not _over(pod):
            raise HandleGone(f"pod {parts.pod} is being ended")
        return pod


async def _begun(client: KubernetesClient, clock: Clock, parts: Handle, pod: Json) -> bool:
    """Was its program let go? The log says so; that its beginning is not there any more does, too, unless that is just
    being written."""
    state = state_of(manifests.CONTAINER, pod)
    ended = state.get("terminated")
    if ended:
        told = bootstrap.parse_termination(str(ended.get("message") or ""))
        if told is not None and not told.lost:
            return True
    elif "running" not in state:
        return False
    for again in (True, False):
        head = Head(parts.mark)
        log = await client.read_log(parts.namespace, parts.pod, manifests.CONTAINER, limit=_HEAD)
        head.feed(log)
        if head.begun or head.ready:
            return head.begun
        if again:
            await clock.sleep(_WRITTEN_SECONDS)
    return bool(log)


async def _end(client: KubernetesClient, parts: Handle, token: int) -> None:
    while True:
        try:
            pod = await client.get_pod(parts.namespace, parts.pod)
            if token_of(pod) <= token and not _over(pod):
                await client.delete_pod(parts.namespace, parts.pod, delete_options(pod, 1))
            return
        except PodNotFound:
            return
        except Conflicting:
            continue


def _over(pod: Json) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _kept(pod: Json) -> Json | None:
    """None for what is none of ours."""
    try:
        found = json.loads((pod["metadata"].get("annotations") or {})[names.KEPT])
        if found.pop("v") == _VERSION and {name: type(value) for name, value in found.items()} == _KEPT:
            return dict(found)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    return None


def _file(way: Way, parts: Handle, token: int, fields: Json) -> PodFile:
    return PodFile(
        server=way.server,
        ca=way.ca,
        verify=way.verify,
        server_name=way.server_name,
        token_file=way.token_file,
        cert=way.cert,
        key=way.key,
        proxy=way.proxy,
        namespace=parts.namespace,
        pod=parts.pod,
        container=manifests.CONTAINER,
        mark=parts.mark,
        token=token,
        begun=True,
        **fields,
    )

"""The Kubernetes API, as far as we use it: pods and volume claims as plain JSON objects.

`kubernetes_asyncio` reads the configuration, authenticates and carries the requests; it is imported when the client is
opened, here and in `credentials` only. Its models are not used: they cost more than they check.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from lite.aio.tasks import Jobs
from lite.errors import ExecutorError
from lite.executors.kubernetes.credentials import Credentials, Way
from lite.executors.kubernetes.failures import ApiUnavailable, refusal

log = logging.getLogger(__name__)

Json = dict[str, Any]

_ANSWER_SECONDS = 15.0
_CONNECT_SECONDS = 5.0
_PAUSES = (0.1, 0.3, 1.0, 2.0)  # between tries of one request
_PAGE = 500
_WATCH_SECONDS = 300
_REFRESH_SECONDS = 30.0
_MERGE = "application/merge-patch+json"


class KubernetesClient:
    """Everything raises `ApiUnavailable` or an `ApiRefused`. What may be asked twice is asked again by itself for a few
    seconds while the server does not answer or says "later"."""

    def __init__(self, folder: Path, *, kubeconfig: str = "", context: str = "") -> None:
        self._credentials = Credentials(folder, kubeconfig=kubeconfig, context=context)
        self._api: Any = None
        self._jobs = Jobs("kubernetes client")
        self._renewing = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<KubernetesClient {self.way.server or 'closed'}>"

    @property
    def way(self) -> Way:
        """How others reach the same server."""
        return self._credentials.way

    async def open(self) -> None:
        """Raises `ExecutorError`; asks the server nothing."""
        await self._credentials.load()
        self._connect()
        self._jobs.spawn(self._stay_fresh(), "credentials")

    async def close(self) -> None:
        await self._jobs.cancel()
        if self._api is not None:
            await self._api.close()
            self._api = None

    async def version(self) -> str:
        """Of the server: does it answer, and who is it?"""
        found = await self._call("GET", "/version", what="version")
        return str(found.get("gitVersion") or "")

    # pods

    async def create_pod(self, pod: Json) -> Json:
        path = _pods(pod["metadata"]["namespace"])
        return await self._call("POST", path, {"fieldValidation": "Strict"}, pod, what="create pod")

    async def get_pod(self, namespace: str, name: str) -> Json:
        return await self._call("GET", f"{_pods(namespace)}/{name}", what=f"pod {name}")

    async def delete_pod(self, namespace: str, name: str, options: Json) -> Json:
        """`options`: see `fencing.delete_options`."""
        return await self._call("DELETE", f"{_pods(namespace)}/{name}", body=options, what=f"delete pod {name}")

    async def patch_pod(self, namespace: str, name: str, patch: Json) -> Json:
        """A merge patch."""
        return await self._call(
            "PATCH", f"{_pods(namespace)}/{name}", body=patch, what=f"patch pod {name}", kind=_MERGE
        )

    async def list_pods(self, namespace: str, selector: str) -> tuple[list[Json], str]:
        """All of them, however many pages, and the version to watch from."""
        return await self._list(_pods(namespace), selector, "list pods")

    async def watch_pods(self, namespace: str, selector: str, version: str) -> AsyncIterator[tuple[str, Json]]:
        """(ADDED, MODIFIED, DELETED or BOOKMARK, object) from a version on, until the server ends it. Raises `Expired`
        when that version is too old."""
        query = {
            "watch": "1",
            "labelSelector": selector,
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        async for event in self._events(_pods(namespace), query):
            kind, found = str(event.get("type")), event.get("object")
            if kind == "ERROR":
                raise refusal(int((found or {}).get("code") or 500), json.dumps(found).encode(), "watch pods")
            if isinstance(found, dict):
                yield kind, found

    async def read_log(self, namespace: str, name: str, container: str, *, limit: int) -> bytes:
        """Its first `limit` bytes."""
        query = {"container": container, "limitBytes": str(limit)}
        response = await self._send("GET", f"{_pods(namespace)}/{name}/log", query, None, "", _ANSWER_SECONDS)
        return await _whole(response, "read log")

    # volume claims

    async def create_pvc(self, claim: Json) -> Json:
        path = _claims(claim["metadata"]["namespace"])
        return await self._call("POST", path, {"fieldValidation": "Strict"}, claim, what="create volume claim")

    async def get_pvc(self, namespace: str, name: str) -> Json:
        return await self._call("GET", f"{_claims(namespace)}/{name}", what=f"volume claim {name}")

    async def patch_pvc(self, namespace: str, name: str, patch: Json) -> Json:
        """A merge patch; with a `resourceVersion` in it only if it is still that one (`Conflicting`)."""
        path = f"{_claims(namespace)}/{name}"
        return await self._call("PATCH", path, body=patch, what=f"patch volume claim {name}", kind=_MERGE)

    async def delete_pvc(self, namespace: str, name: str, options: Json) -> Json:
        return await self._call("DELETE", f"{_claims(namespace)}/{name}", body=options, what=f"delete claim {name}")

    async def list_pvcs(self, namespace: str, selector: str) -> tuple[list[Json], str]:
        return await self._list(_claims(namespace), selector, "list volume claims")

    # requests

    async def _list(self, path: str, selector: str, what: str) -> tuple[list[Json], str]:
        """Raises `Expired` when the pages took longer than the server keeps their version."""
        items: list[Json] = []
        query = {"labelSelector": selector, "limit": str(_PAGE)}
        while True:
            page = await self._call("GET", path, query, what=what)
            items += page.get("items") or ()
            metadata = page.get("metadata") or {}
            if not metadata.get("continue"):
                return items, str(metadata.get("resourceVersion") or "")
            query = {**query, "continue": str(metadata["continue"])}

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] = {},
        body: Json | None = None,
        *,
        what: str,
        kind: str = "",
    ) -> Json:
        for pause in (*_PAUSES, None):
            try:
                response = await self._send(method, path, query, body, kind, _ANSWER_SECONDS)
                data = await _whole(response, what)
                found = json.loads(data)
                if not isinstance(found, dict):
                    raise ApiUnavailable(f"{what}: not an object")
                return found
            except ValueError as error:
                failure: ExecutorError = ApiUnavailable(f"{what}: {error}")
            except ApiUnavailable as error:
                failure = error
            except ExecutorError as error:
                if getattr(error, "answer", 0) != 401 or pause is None:
                    raise
                failure = error
                await self._renew()
            if pause is None:
                raise failure
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
        raise AssertionError("unreachable")

    async def _events(self, path: str, query: Mapping[str, str]) -> AsyncIterator[Json]:
        import aiohttp

        response = await self._send("GET", path, query, None, "", None)
        try:
            if response.status >= 300:
                await _whole(response, "watch pods")
            held = b""
            async for part in response.content.iter_any():
                *lines, held = (held + part).split(b"\n")
                for line in lines:
                    if line:
                        yield json.loads(line)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise ApiUnavailable(f"watch pods: {error or 'cut'}") from error
        finally:
            response.close()

    async def _send(
        self, method: str, path: str, query: Mapping[str, str], body: Json | None, kind: str, seconds: float | None
    ) -> Any:
        import aiohttp

        api = self._api
        if api is None:
            raise ApiUnavailable("the client is closed")
        headers: dict[str, str] = {"Accept": "application/json", "Content-Type": kind or "application/json"}
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=_CONNECT_SECONDS)
        try:
            await api.update_params_for_auth(headers, [], ["BearerToken"])
            return await api.rest_client.request(
                method,
                f"{self._credentials.configuration.host}{path}",
                query_params=list(query.items()),
                headers=headers,
                body=body,
                _preload_content=False,
                _request_timeout=timeout,
            )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ApiUnavailable(f"{self.way.server}: {error or 'no answer in time'}") from error

    # credentials

    def _connect(self) -> None:
        from kubernetes_asyncio.client import ApiClient

        self._api = ApiClient(configuration=self._credentials.configuration)

    async def _stay_fresh(self) -> None:
        while True:
            await asyncio.sleep(_REFRESH_SECONDS)
            await self._renew()

    async def _renew(self) -> None:
        """Never raises: what we have is tried until it is refused."""
        async with self._renewing:
            old = self._api
            try:
                changed = await self._credentials.refresh()
            except Exception as error:  # a plugin of the kubeconfig may fail in any way
                log.warning("credentials not renewed: %s", error)
                return
            if changed or old is None:
                self._connect()
                if old is not None:
                    await old.close()
            else:
                old.configuration = self._credentials.configuration


async def _whole(response: Any, what: str) -> bytes:
    """The body; raises for an error's status."""
    import aiohttp

    try:
        data: bytes = await response.read()
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise ApiUnavailable(f"{what}: {error or 'cut'}") from error
    if response.status >= 300:
        raise refusal(response.status, data, what)
    return data


def _pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def _claims(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"

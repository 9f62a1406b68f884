"""Which cluster, and as whom: from a kubeconfig or from the account of the pod we run in, kept in files of the home
for the bridges, which outlive us and cannot ask.

The only module besides `client` which imports `kubernetes_asyncio`, and only when it is called.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from lite.errors import ExecutorError
from lite.executors.kubernetes.pod_file import write_file

_SERVICE_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"
_DEFAULT = "~/.kube/config"
FOLDER = "kubernetes"  # in the home


@dataclass(frozen=True, slots=True)
class Way:
    """How a bridge reaches the API server; see `pod_file.PodFile`."""

    server: str
    ca: str = ""
    verify: bool = True
    server_name: str = ""
    token_file: str = ""
    cert: str = ""
    key: str = ""
    proxy: str = ""


class Credentials:
    """Raises `ExecutorError` for what cannot be read. `configuration` is the library's, renewed by `refresh`."""

    def __init__(self, folder: Path, *, kubeconfig: str, context: str) -> None:
        self._folder = folder
        self._kubeconfig, self._context = kubeconfig, context
        self._loader: Any = None
        self.configuration: Any = None
        self.way = Way("")

    async def load(self) -> None:
        """Read them, and write down for the bridges what they need."""
        try:
            self.configuration = await self._load()
            self.way = await asyncio.to_thread(self._write_down, self.configuration)
        except ImportError as error:
            hint = 'pip install "quarterdeck[kubernetes]"'
            raise ExecutorError(f"the Kubernetes client is not installed: {error}", hint=hint) from error
        except ExecutorError:
            raise
        except Exception as error:  # the loader raises whatever it stumbles over in a broken file
            raise ExecutorError(
                f"no access to a cluster: {error}", hint="kubernetes.kubeconfig and .context"
            ) from error

    async def refresh(self) -> bool:
        """Read again what may have become stale; True when something else than a token changed."""
        before = self._certificates()
        if self._loader is not None and "exec" in (self._loader._user or {}):
            await self._loader.load_from_exec_plugin()  # runs the program only when its last answer has expired
            self._loader._set_config(self.configuration)
            self.way = await asyncio.to_thread(self._write_down, self.configuration)
        else:
            await self.load()
        return self._certificates() != before

    async def _load(self) -> Any:
        config, configuration_class = await asyncio.to_thread(_library)
        path = self.kubeconfig(os.environ)
        configuration = configuration_class()
        if not path:
            config.load_incluster_config(client_configuration=configuration)
            return configuration
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._loader = await config.load_kube_config(
            config_file=path,
            context=self._context or None,
            client_configuration=configuration,
            persist_config=False,
            temp_file_path=str(self._folder),
        )
        return configuration

    def kubeconfig(self, environ: Mapping[str, str]) -> str:
        """Its path; "": the account of the pod we run in."""
        found = self._kubeconfig or environ.get("KUBECONFIG", "")
        if found:
            return os.path.expanduser(found)  # noqa: PTH111
        own = os.path.expanduser(_DEFAULT)  # noqa: PTH111
        if "KUBERNETES_SERVICE_HOST" in environ and not os.path.exists(own):  # noqa: PTH110
            return ""
        return own

    def _write_down(self, found: Any) -> Way:
        folder = self._folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        token = str(found.api_key.get("BearerToken") or "")
        return Way(
            server=str(found.host),
            ca=_copied(folder, "ca.crt", found.ssl_ca_cert),
            verify=bool(found.verify_ssl),
            server_name=str(found.tls_server_name or ""),
            token_file=self._token_file(token),
            cert=_copied(folder, "client.crt", found.cert_file),
            key=_copied(folder, "client.key", found.key_file),
            proxy=_proxy(str(found.host), str(found.proxy or "")),
        )

    def _token_file(self, token: str) -> str:
        if not token:
            return ""
        if self._loader is None and os.path.exists(_SERVICE_TOKEN):  # noqa: PTH110
            return _SERVICE_TOKEN  # the kubelet keeps it fresh, also when we are gone
        path = self._folder / "authorization"
        if not path.exists() or path.read_text() != token:
            write_file(str(self._folder), path.name, token.encode())
        return str(path)

    def _certificates(self) -> tuple[bytes, ...]:
        paths = [self.way.ca, self.way.cert, self.way.key]
        return tuple(Path(path).read_bytes() if path and Path(path).exists() else b"" for path in paths)


def _copied(folder: Path, name: str, source: str | None) -> str:
    """Ours, whatever becomes of the source: the library removes the files it makes when we end."""
    if not source:
        return ""
    data, path = Path(source).read_bytes(), folder / name
    if not path.exists() or path.read_bytes() != data:
        write_file(str(folder), name, data)
    return str(path)


def _proxy(server: str, configured: str) -> str:
    """The HTTP proxy on the way to `server`, or "": the kubeconfig's, else the environment's, as the library has it."""
    url = urlsplit(server)
    found = configured
    if not found and not proxy_bypass(url.hostname or ""):
        found = getproxies().get(url.scheme, "")
    if found and (urlsplit(found).scheme != "http" or not urlsplit(found).hostname):
        scheme = urlsplit(found).scheme or "nameless"
        raise ExecutorError(
            f"the way to the cluster leads through a {scheme} proxy, which is not supported",
            hint="proxy-url: http://HOST:PORT in the kubeconfig, or NO_PROXY for the cluster's address",
        )
    return found


def _library() -> tuple[Any, Any]:
    """Half a second, once; so not in the loop."""
    from kubernetes_asyncio import config
    from kubernetes_asyncio.client import Configuration

    return config, Configuration

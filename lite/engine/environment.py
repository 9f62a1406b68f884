"""The environment of an agent program: an allow-list of ours, then the agent's, then the task's, then `QD_*`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

ALLOWED = frozenset(
    {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TMPDIR",
        "SSH_AUTH_SOCK",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "all_proxy",
        "EDITOR",
        "VISUAL",
        "PAGER",
        "NO_COLOR",
        "DISPLAY",
        "WAYLAND_DISPLAY",
        "DBUS_SESSION_BUS_ADDRESS",
        "VIRTUAL_ENV",
        "GIT_CONFIG_GLOBAL",
    }
)
_ABROAD = ("TZ", "NO_COLOR")
_PREFIXES = ("LC_", "XDG_")
_NEVER = frozenset({"QD_BACKEND", "QD_REDIS_PASSWORD"})  # the fleet's own way to its store, and no agent's


def build_environment(
    ours: Mapping[str, str],
    allow: Iterable[str],
    *layers: Mapping[str, str],
    unset: Iterable[str] = (),
    never: Iterable[str] = (),
) -> dict[str, str]:
    """The complete environment; later layers win. `allow` extends the built-in allow-list; a `*` at an entry's end fits
    any rest. `never` are variables of ours that only a layer may bring."""
    more = list(allow)
    allowed = ALLOWED | set(more)
    prefixes = (*_PREFIXES, *(entry[:-1] for entry in more if entry.endswith("*")))
    env = {key: value for key, value in ours.items() if key in allowed or key.startswith(prefixes)}
    for key in (_NEVER | set(never)) & env.keys():
        del env[key]
    env["TERM"] = "xterm-256color"
    env["COLORTERM"] = "truecolor"
    for layer in layers:
        env.update(layer)
    for key in unset:
        env.pop(key, None)
    return env


def abroad(ours: Mapping[str, str], allow: Iterable[str]) -> dict[str, str]:
    """What of ours means something in a pod too: paths, proxies and sockets do not, unless `allow` has them."""
    more = (*_ABROAD, *allow)
    prefixes = tuple(entry[:-1] for entry in more if entry.endswith("*"))
    return {key: value for key, value in ours.items() if key in more or (prefixes and key.startswith(prefixes))}


def need_variable(name: str) -> str:
    """`QD_NEEDS_<NAME>` for a need's name: upper case, what cannot stand in a variable's name becomes `_`."""
    return "QD_NEEDS_" + re.sub(r"[^A-Z0-9]", "_", name.upper())

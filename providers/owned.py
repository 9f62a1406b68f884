"""Variables that decide whom an agent program talks to and as whom: its own configuration's business, no task's.

Entries of `Capabilities.env_owned`: names, in which `*` stands for any characters.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_TRUST = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
# the way to every network, whom to believe there, and the directory in which logins are kept
ANYWHERE = (*_PROXIES, *map(str.lower, _PROXIES), *_TRUST, "NODE_TLS_REJECT_UNAUTHORIZED", "HOME")

# of a program of which only that much is known that it speaks with a model
ANY_AGENT = (
    *ANYWHERE,
    *("*_API_KEY", "*_AUTH_TOKEN", "*_OAUTH_TOKEN", "*_ACCESS_TOKEN"),
    *("*_BASE_URL", "*_API_BASE", "*_API_URL", "*_ENDPOINT"),
    *("*_CONFIG", "*_CONFIG_DIR", "*_CONFIG_CONTENT", "XDG_*_HOME", "CODEX_HOME", "GEMINI_CLI_HOME", "OPENCODE_*"),
    *("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_GENAI_USE_*", "CLAUDE_CODE_USE_*"),
)


def owns(owned: Iterable[str], name: str) -> bool:
    """Is the variable one of those?"""
    return any(name == entry or ("*" in entry and fnmatchcase(name, entry)) for entry in owned)

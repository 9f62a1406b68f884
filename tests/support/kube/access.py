"""Who may do what, and who did: tokens, rules as of a Role, and a record of every request."""

from __future__ import annotations

import secrets
from typing import Any, NamedTuple

from tests.support.kube.statuses import Refused

Json = dict[str, Any]
ADMIN = "admin"


class Use(NamedTuple):
    """As RBAC sees a request."""

    verb: str
    group: str
    resource: str
    subresource: str = ""

    @property
    def name(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


class Access:
    def __init__(self) -> None:
        self.tokens: dict[str, str] = {}  # token -> account
        self.rules: dict[str, list[Json] | None] = {}  # None: everything is allowed
        self.used: dict[str, set[Use]] = {}
        self.token(ADMIN)

    def token(self, account: str, rules: list[Json] | None = None) -> str:
        """A new one; older ones stay valid. `rules` as in a Role replace what the account may do."""
        made = secrets.token_hex(16)
        self.tokens[made] = account
        self.used.setdefault(account, set())
        if rules is not None or account not in self.rules:
            self.rules[account] = rules
        return made

    def account(self, header: str) -> str:
        """By the Authorization header. Raises `Refused` (401)."""
        kind, _, token = header.partition(" ")
        if kind.lower() != "bearer" or token.strip() not in self.tokens:
            raise Refused(401, "Unauthorized")
        return self.tokens[token.strip()]

    def demand(self, account: str, use: Use, namespace: str, name: str) -> None:
        """Records the use. Raises `Refused` (403)."""
        self.used[account].add(use)
        if self.allows(account, use, name):
            return
        user = f"system:serviceaccount:{namespace or 'default'}:{account}"
        scope = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
        subject = f'{use.name} "{name}"' if name else use.name
        raise Refused(
            403,
            f'{subject} is forbidden: User "{user}" cannot {use.verb} resource "{use.name}" '
            f'in API group "{use.group}" {scope}',
            kind=use.resource,
            name=name,
        )

    def allows(self, account: str, use: Use, name: str = "") -> bool:
        rules = self.rules[account]
        return rules is None or any(
            _in(rule["verbs"], use.verb)
            and _in(rule.get("apiGroups") or [], use.group)
            and _in(rule.get("resources") or [], use.name)
            and (not rule.get("resourceNames") or name in rule["resourceNames"])
            for rule in rules
        )


def _in(names: list[str], name: str) -> bool:
    return "*" in names or name in names

"""What Kubernetes takes for a label: of a node that a pod wants, of a pod. Pure."""

from __future__ import annotations

import re

LABEL_SYNTAX = "letters, digits, dash, dot, underscore; at most 63, the first and the last a letter or digit"

_SUBDOMAIN = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?\Z")


def is_label_key(text: str) -> bool:
    """`NAME` or `DOMAIN/NAME`."""
    prefix, slash, name = text.rpartition("/")
    return bool(_QUALIFIED.match(name)) and (not slash or is_subdomain(prefix))


def is_label_value(text: str) -> bool:
    return not text or bool(_QUALIFIED.match(text))


def is_subdomain(text: str) -> bool:
    """Also what most objects may be called."""
    return bool(_SUBDOMAIN.match(text))

"""`$(NAME)` in command, args and env of a container, as the kubelet expands it."""

from __future__ import annotations

from collections.abc import Mapping


def expand(text: str, names: Mapping[str, str]) -> str:
    """`$(NAME)` becomes the value, or stays when there is none; `$$` becomes `$`, always: also in a shell script."""
    out: list[str] = []
    at = 0
    while at < len(text):
        sign = text.find("$", at)
        if sign < 0 or sign + 1 == len(text):
            break
        out.append(text[at:sign])
        following = text[sign + 1]
        close = text.find(")", sign + 2) if following == "(" else -1
        if following == "$":
            out.append("$")
            at = sign + 2
        elif close >= 0:
            name = text[sign + 2 : close]
            out.append(names.get(name, f"$({name})"))
            at = close + 1
        else:
            out.append("$" + following)
            at = sign + 2
    return "".join(out) + text[at:]

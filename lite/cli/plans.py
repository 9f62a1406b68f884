"""Reading a plan file before it is sent: absent, a directory, binary or too large is told here."""

from __future__ import annotations

import os
from pathlib import Path

from lite.errors import NotFound, PlanInvalid
from lite.home import find_config

MAX_BYTES = 1 << 20


def read_plan(given: str) -> tuple[str, str, str]:
    """(text, absolute path, project root: the directory of the nearest `quarterdeck.yaml` above the plan, else the
    plan's own). Raises `NotFound` and `PlanInvalid`."""
    path = Path(os.path.abspath(Path(given).expanduser()))  # noqa: PTH100 - resolve() would follow links
    try:
        if path.is_dir():
            raise PlanInvalid("is a directory, not a plan", hint="name the YAML file in it", place=given)
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound("no such plan", place=given) from None
    except OSError as error:
        raise PlanInvalid(f"cannot be read: {error.strerror}", place=given) from error
    except ValueError as error:
        raise NotFound(f"no such plan: {error}", place=given) from error
    if len(data) > MAX_BYTES:
        raise PlanInvalid("is larger than 1 MiB, which no plan is", place=given)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise PlanInvalid("is not UTF-8 text", place=f"{given}:{line}") from None
    if "\0" in text:
        raise PlanInvalid("is a binary file, not a plan", place=given)
    config = find_config(str(path.parent))
    return text, str(path), str(config.parent if config else path.parent)

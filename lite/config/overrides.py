"""What a person said to `qd up`: it wins over file and environment, for this one process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from lite.config.address import parse_listen
from lite.errors import UsageError
from lite.model.settings import Settings
from lite.rules.checks import MAX_TEXT, is_slug
from lite.rules.spelling import quoted

MAX_SLOTS = 10_000


@dataclass(frozen=True, slots=True)
class Overrides:
    """None: not said. Labels are added to those of the file."""

    labels: Mapping[str, str] = field(default_factory=dict)
    slots: int | None = None
    name: str | None = None
    listen: str | None = None


def read_overrides(
    *, labels: Iterable[str] = (), slots: str | None = None, name: str | None = None, listen: str | None = None
) -> Overrides:
    """From the texts of the command line; each of `labels` is `K=V,K=V`. Raises `UsageError` with the option."""
    if slots is not None and not (slots.isascii() and slots.isdigit() and 1 <= int(slots[:6]) <= MAX_SLOTS):
        raise UsageError(f"should be a whole number from 1 to {MAX_SLOTS}, not {quoted(slots)}", place="--slots")
    if name is not None and not is_slug(name):
        raise UsageError(f"cannot be {quoted(name)}", hint="use a-z, 0-9, dot, dash, underscore", place="--name")
    if listen:
        try:
            parse_listen(listen)
        except ValueError as error:
            message, _, hint = str(error).partition("; ")
            raise UsageError(message, hint=hint.replace("listen: ", "--listen "), place="--listen") from None
    return Overrides(_labels(labels), None if slots is None else int(slots), name, listen)


def apply(settings: Settings, overrides: Overrides) -> Settings:
    """The settings in force; what was overridden has the option for its origin."""
    origins = dict(settings.origins)
    if overrides.labels:
        settings = replace(settings, labels={**settings.labels, **overrides.labels})
        origins["labels"] = "--labels" if len(settings.labels) == len(overrides.labels) else "--labels and the file"
    if overrides.slots is not None:
        settings = replace(settings, slots=overrides.slots)
        origins["limits.slots"] = "--slots"
    if overrides.name is not None:
        settings = replace(settings, worker_name=overrides.name)
        origins["worker.name"] = "--name"
    if overrides.listen is not None:
        settings = replace(settings, listen=overrides.listen)
        origins["listen"] = "--listen"
    return replace(settings, origins=origins)


def _labels(given: Iterable[str]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for pair in ",".join(given).split(","):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not pair.strip():
            continue
        if not equals or not key or len(key) > MAX_TEXT or len(value) > MAX_TEXT or not (key + value).isprintable():
            raise UsageError(f"should be KEY=VALUE, not {quoted(pair)}", hint="--labels gpu=1,zone=a", place="--labels")
        if labels.setdefault(key, value) != value:
            raise UsageError(f"{quoted(key)} is here twice", place="--labels")
    return labels

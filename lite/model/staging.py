"""What the tasks of a run share: a folder here, a volume in a cluster."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Staging:
    """`staging:` of the configuration, for the folders of this machine."""

    keep_ms: int = 24 * 3600 * 1000  # after a run that failed or was cancelled
    path: str = ""  # holds one folder a run; "": in the home


@dataclass(frozen=True, slots=True)
class Volume:
    """One run's. `freed` says why nobody gets it any more; "" while it is in use."""

    run: str
    created_at: int  # ms
    freed: str = ""

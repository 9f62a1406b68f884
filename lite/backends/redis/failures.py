"""redis-py's errors to ours, once."""

from __future__ import annotations

from redis import exceptions

from lite.errors import BackendError

# What a reconnection (to a server that was restarted, or to the one that took over) may heal.
PASSING: tuple[type[Exception], ...] = (
    exceptions.ConnectionError,  # also: busy loading
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    TimeoutError,
    OSError,
)
_PASSING_WORDS = ("MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "UNKILLABLE", "LOADING", "NOREPLICAS")
_HINTS = (
    ("NOAUTH", "name the password in the configuration (backend.password) or in QD_REDIS_PASSWORD"),
    ("WRONGPASS", "the user or the password is wrong"),
    ("NOPERM", "the user may not do that: it needs all commands on keys and channels that begin with the prefix"),
    ("maxmemory", "the server is out of memory: give it more, or let work end; nothing that was accepted is lost"),
    ("MISCONF", "the server cannot write to its disk; look at its log"),
    ("READONLY", "this is a replica; point the configuration to the primary"),
)


def passing(error: Exception) -> bool:
    """Is it worth another try?"""
    if isinstance(error, exceptions.AuthenticationError | exceptions.AuthorizationError):
        return False
    return isinstance(error, PASSING) or str(error).startswith(_PASSING_WORDS)


def out_of_memory(error: BackendError) -> bool:
    """Was a whole call refused, before anything of it was done, because the server's memory is full?"""
    return isinstance(error.__cause__, exceptions.OutOfMemoryError)


def mapped(error: Exception, place: str) -> BackendError:
    """The error to raise instead, about the server at `place` (which holds no secret)."""
    text = str(error) or type(error).__name__
    for word, hint in _HINTS:
        if word in text:
            return BackendError(f"Redis refused: {text}", hint=hint, place=place)
    if isinstance(error, exceptions.AuthenticationError):
        return BackendError(f"Redis refused: {text}", hint=_HINTS[0][1], place=place)
    if isinstance(error, PASSING):
        hint = "is it running, and reachable from here? Work goes on by itself once it answers"
        return BackendError(f"Redis does not answer: {text}", hint=hint, place=place)
    return BackendError(f"Redis failed: {text}", place=place)

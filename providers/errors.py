"""What a provider can object to."""

from __future__ import annotations


class ProviderError(Exception):
    """The root of this package's errors: a stable `code`, a message, a `hint` on what to do."""

    code = "provider"

    def __init__(self, message: str, *, hint: str = "", field: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.field = field


class InvalidRequest(ProviderError):
    """The request lacks something or says something this provider cannot do; `field` names it."""

    code = "invalid"


class UnknownProvider(ProviderError):
    """No provider of that name is registered."""

    code = "unknown-provider"


class BrokenProvider(ProviderError):
    """A registered provider could not be loaded."""

    code = "broken-provider"

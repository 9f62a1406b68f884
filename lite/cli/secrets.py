"""Which secrets of a configuration can be had from here: for `doctor` and `config validate`. Shows no value."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from lite.model.settings import Secret, Settings


class Examined(NamedTuple):
    """`problem` "": it can be had."""

    name: str
    source: str
    problem: str = ""
    hint: str = ""


def examine(settings: Settings) -> list[Examined]:
    """Each is fetched as a supervisor started from this shell would fetch it, commands too, side by side."""
    wanted = dict(_named(settings))
    if not wanted:
        return []
    import asyncio

    from lite.config.secret_values import SecretValues

    values = SecretValues()

    async def every() -> list[Examined]:
        return list(await asyncio.gather(*(_examine(values.value, name, one) for name, one in wanted.items())))

    return asyncio.run(every())


async def _examine(fetch: Callable[[Secret], Awaitable[str]], name: str, secret: Secret) -> Examined:
    from lite.config.secret_values import source
    from lite.errors import SecretUnavailable
    from lite.model.settings import SHORTEST_HIDDEN

    try:
        value = await fetch(secret)
    except SecretUnavailable as error:
        return Examined(name, source(secret), f"not from this shell: {error.message}", error.hint)
    if len(value.strip().encode()) < SHORTEST_HIDDEN:
        problem = f"shorter than {SHORTEST_HIDDEN} characters: passed on, but not hidden in what programs print"
        return Examined(name, source(secret), problem, "use a longer one")
    return Examined(name, source(secret))


def _named(settings: Settings) -> Iterator[tuple[str, Secret]]:
    yield from settings.secrets.items()
    for agent in settings.agents.values():
        for variable, secret in agent.secrets.items():
            if not isinstance(secret, str):
                yield f"{variable} of agent {agent.name}", secret

"""What staging volumes promise. A subclass supplies `make`: one more `Volumes` over the same world."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from lite.model.ids import new_id
from lite.ports import Volumes

Make = Callable[[], Awaitable[Volumes]]
NOW = 1_700_000_000_000


class VolumesContract:
    async def write(self, volumes: Volumes, run: str) -> None:
        """Leave something in it, as a task would."""
        raise NotImplementedError

    async def holds_something(self, volumes: Volumes, run: str) -> bool:
        raise NotImplementedError

    async def test_one_is_made_once_and_found_by_the_next_process(self, make: Make) -> None:
        volumes, run = await make(), new_id()
        assert await volumes.volumes() == []
        assert await volumes.provide(run, now=NOW)
        assert not await volumes.provide(run, now=NOW + 5)
        again = await make()
        assert not await again.provide(run, now=NOW + 9)
        (found,) = await again.volumes()
        assert (found.run, found.freed) == (run, "")
        assert again.place(run) == volumes.place(run)
        assert again.name(run) == volumes.name(run)

    async def test_each_run_has_its_own(self, make: Make) -> None:
        volumes, one, two = await make(), new_id(), new_id()
        await volumes.provide(one, now=NOW)
        await volumes.provide(two, now=NOW)
        await self.write(volumes, one)
        assert await self.holds_something(volumes, one)
        assert not await self.holds_something(volumes, two)
        assert volumes.name(one) != volumes.name(two)
        assert {volume.run for volume in await volumes.volumes()} == {one, two}

    async def test_freed_it_waits_with_its_reason_for_being_taken_away(self, make: Make) -> None:
        volumes, run = await make(), new_id()
        await volumes.provide(run, now=NOW)
        await self.write(volumes, run)
        assert await volumes.free(run, "failed and kept")
        assert not await (await make()).free(run, "another reason")
        assert [(one.run, one.freed) for one in await (await make()).volumes()] == [(run, "failed and kept")]
        await volumes.remove(run)
        await volumes.remove(run)
        assert await volumes.volumes() == []

    async def test_what_is_in_use_is_not_removed(self, make: Make) -> None:
        volumes, run = await make(), new_id()
        await volumes.provide(run, now=NOW)
        await self.write(volumes, run)
        await volumes.remove(run)
        assert await self.holds_something(volumes, run)

    async def test_a_run_that_goes_on_gets_a_new_and_empty_one(self, make: Make) -> None:
        volumes, run = await make(), new_id()
        await volumes.provide(run, now=NOW)
        await self.write(volumes, run)
        await volumes.free(run, "succeeded")
        await volumes.remove(run)
        assert await volumes.provide(run, now=NOW)
        assert not await self.holds_something(volumes, run)
        assert [one.freed for one in await volumes.volumes()] == [""]

    async def test_unknown_ones_are_nothing_to_do(self, make: Make) -> None:
        volumes, run = await make(), new_id()
        assert not await volumes.free(run, "orphan")
        await volumes.remove(run)
        assert await volumes.volumes() == []

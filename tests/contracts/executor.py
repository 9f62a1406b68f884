"""What every executor promises. A subclass supplies the fixture `make` and the launches; capabilities choose the tests.

class TestMine(ExecutorContract):
    @pytest.fixture
    async def make(self): ...      # yields a callable: a new, opened executor over the same world; closes them after
    def succeeding(self): return Launch(...)
    def failing(self): ...
    def lasting(self): ...         # runs until it is stopped
    def leaving(self, path): ...   # leaves something at `path` as soon as it runs; None: cannot
    def spreading(self, path): ... # as `lasting`, with a daemon whose pid is in the file `path`; None: cannot
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from lite.errors import HandleGone, SessionRefused
from lite.model.session import SessionRequest
from lite.model.task import OutcomeKind, Reason
from lite.ports import Executor
from providers.base import Launch

Make = Callable[[], Awaitable[Executor]]

SECONDS = 30.0
SOON, LATE = 600, 600_000  # ms: a lease that runs out in the test, one that does not


class Recorded(list[str]):
    """A `record` that remembers."""

    async def __call__(self, handle: str) -> None:
        self.append(handle)


class ExecutorContract:
    def succeeding(self) -> Launch:
        raise NotImplementedError

    def failing(self) -> Launch:
        raise NotImplementedError

    def lasting(self) -> Launch:
        raise NotImplementedError

    def leaving(self, path: Path) -> Launch | None:
        return None

    def spreading(self, path: Path) -> Launch | None:
        return None

    @pytest.fixture
    def ask(self, tmp_path: Path) -> Callable[..., SessionRequest]:
        """Requests for `launch`, each for another task unless told."""
        count = 0

        def make(launch: Launch, *, task: str = "", attempt: int = 1, token: int = 1) -> SessionRequest:
            nonlocal count
            count += 1
            task = task or f"task{count}"
            directory = tmp_path / "home" / "sessions" / f"{task}-{attempt}"
            return SessionRequest(
                task=task,
                attempt=attempt,
                token=token,
                launch=launch,
                cwd=str(tmp_path),
                env=self.environment(),
                directory=str(directory),
            )

        return make

    def environment(self) -> dict[str, str]:
        return {"PATH": "/usr/local/bin:/usr/bin:/bin", "TERM": "xterm-256color"}

    async def test_success_and_failure_are_told_apart(self, make: Make, ask: Callable[..., SessionRequest]) -> None:
        executor = await make()
        good = await executor.start(ask(self.succeeding()), Recorded())
        assert (await _ended(executor, good)).kind is OutcomeKind.SUCCEEDED
        bad = await executor.start(ask(self.failing()), Recorded())
        assert (await _ended(executor, bad)).kind is OutcomeKind.FAILED
        assert (await _ended(executor, bad)).kind is OutcomeKind.FAILED  # asked again: the same

    async def test_the_handle_is_recorded_once_and_is_one_line(
        self, make: Make, ask: Callable[..., SessionRequest]
    ) -> None:
        executor = await make()
        recorded = Recorded()
        handle = await executor.start(ask(self.failing()), recorded)
        assert recorded == [handle]
        assert handle.isprintable()
        await _ended(executor, handle)

    async def test_nothing_runs_before_the_handle_is_recorded(
        self, make: Make, ask: Callable[..., SessionRequest], tmp_path: Path
    ) -> None:
        evidence = tmp_path / "evidence"
        launch = self.leaving(evidence)
        if launch is None:
            pytest.skip("its launches leave nothing")
        executor = await make()

        async def refuse(_handle: str) -> None:
            assert not evidence.exists()
            raise RuntimeError("the store is gone")

        with pytest.raises(RuntimeError, match="the store is gone"):
            await executor.start(ask(launch, task="refused"), refuse)
        assert not evidence.exists()
        handle = await executor.start(ask(launch, task="taken"), Recorded())
        await _ended(executor, handle)
        assert evidence.exists()

    async def test_what_was_not_recorded_can_not_be_recovered_into_running(
        self, make: Make, ask: Callable[..., SessionRequest], tmp_path: Path
    ) -> None:
        evidence = tmp_path / "evidence"
        launch = self.leaving(evidence)
        executor = await make()
        if launch is None or not executor.capabilities().recover:
            pytest.skip("does not apply")
        seen: list[str] = []

        async def refuse(handle: str) -> None:
            seen.append(handle)
            raise RuntimeError("the store is gone")

        with pytest.raises(RuntimeError):
            await executor.start(ask(launch), refuse)
        try:
            await executor.recover(seen[0], 2)
        except HandleGone:
            pass
        else:
            assert (await _ended(executor, seen[0])).kind is OutcomeKind.RESCHEDULED
        assert not evidence.exists()

    async def test_stop_ends_it(self, make: Make, ask: Callable[..., SessionRequest]) -> None:
        executor = await make()
        handle = await executor.start(ask(self.lasting()), Recorded())
        assert (await executor.inspect(handle)).alive
        await executor.stop(handle, grace_ms=1000)
        assert (await _ended(executor, handle)).kind is not OutcomeKind.SUCCEEDED
        assert not (await executor.inspect(handle)).alive
        await executor.stop(handle, grace_ms=1000)  # ended already: no-op

    async def test_destroy_may_be_repeated(self, make: Make, ask: Callable[..., SessionRequest]) -> None:
        executor = await make()
        handle = await executor.start(ask(self.failing()), Recorded())
        await _ended(executor, handle)
        await executor.destroy(handle)
        await executor.destroy(handle)

    async def test_an_unknown_handle_is_gone(self, make: Make) -> None:
        executor = await make()
        for handle in ("nothing", '{"v":99}', ""):
            with pytest.raises(HandleGone):
                await executor.recover(handle, 1)
            with pytest.raises(HandleGone):
                await executor.wait(handle)

    async def test_sessions_outlive_the_executor(self, make: Make, ask: Callable[..., SessionRequest]) -> None:
        first = await make()
        if not first.capabilities().recover:
            pytest.skip("its sessions end with it")
        lasting = await first.start(ask(self.lasting(), token=3), Recorded())
        failing = await first.start(ask(self.failing(), token=3), Recorded())
        await _ended(first, failing)
        await first.close()
        second = await make()
        await second.recover(lasting, 4)
        await second.recover(failing, 4)
        assert (await second.inspect(lasting)).alive
        assert (await _ended(second, failing)).kind is OutcomeKind.FAILED
        await second.stop(lasting, grace_ms=1000)
        assert (await _ended(second, lasting)).kind is not OutcomeKind.SUCCEEDED

    async def test_a_stale_token_is_fenced_off(self, make: Make, ask: Callable[..., SessionRequest]) -> None:
        first = await make()
        if not first.capabilities().recover:
            pytest.skip("its sessions end with it")
        handle = await first.start(ask(self.lasting(), token=3), Recorded())
        second = await make()
        await second.recover(handle, 4)
        third = await make()
        with pytest.raises(HandleGone):
            await third.recover(handle, 3)
        assert (await second.inspect(handle)).alive
        await second.stop(handle, grace_ms=1000)
        await _ended(second, handle)

    async def test_signals(self, make: Make, ask: Callable[..., SessionRequest]) -> None:
        executor = await make()
        handle = await executor.start(ask(self.lasting()), Recorded())
        if executor.capabilities().signals:
            await until_running(executor, handle)
            await executor.signal(handle, 15)
            assert (await _ended(executor, handle)).signal == 15
        else:
            with pytest.raises(SessionRefused):
                await executor.signal(handle, 15)
            await executor.stop(handle, grace_ms=0)
            await _ended(executor, handle)
        with pytest.raises(SessionRefused):
            await executor.signal(handle, 15)

    async def test_terminals_are_refused_where_there_are_none(
        self, make: Make, ask: Callable[..., SessionRequest]
    ) -> None:
        executor = await make()
        handle = await executor.start(ask(self.lasting()), Recorded())
        executor.watch_status(handle, lambda _status: None)
        if executor.capabilities().terminal:
            assert executor.address(handle)
            stream = await executor.attach(handle, control=False)
            assert await stream.read() is not None
            await stream.aclose()
        else:
            assert executor.address(handle) == ""
            with pytest.raises(SessionRefused):
                await executor.attach(handle, control=False)
        await executor.stop(handle, grace_ms=0)
        await _ended(executor, handle)

    async def test_what_is_not_kept_again_ends_by_itself(
        self, make: Make, ask: Callable[..., SessionRequest], tmp_path: Path
    ) -> None:
        executor = await make()
        if not executor.capabilities().recover:
            pytest.skip("its sessions end with it")
        daemon = tmp_path / "daemon"
        launch = self.spreading(daemon)
        handle = await executor.start(ask(launch or self.lasting()), Recorded())
        pid = await pid_in(daemon) if launch else 0
        begun = time.monotonic()
        await executor.keep(handle, SOON)
        outcome = await _ended(executor, handle)
        assert time.monotonic() - begun > SOON / 1000 - 0.01  # clocks are read in whole ms
        assert (outcome.kind, outcome.reason) == (OutcomeKind.UNEXECUTABLE, Reason.LOST)
        assert "nobody renewed it" in outcome.detail
        assert not (await executor.inspect(handle)).alive
        assert not pid or not process_lives(pid)

    async def test_what_is_kept_again_lives_and_what_was_never_kept_too(
        self, make: Make, ask: Callable[..., SessionRequest]
    ) -> None:
        first = await make()
        if not first.capabilities().recover:
            pytest.skip("its sessions end with it")
        alone = await first.start(ask(self.lasting()), Recorded())
        kept = await first.start(ask(self.lasting()), Recorded())
        left = await first.start(ask(self.lasting()), Recorded())
        await first.keep(kept, SOON)
        await first.keep(left, SOON)
        await first.keep(kept, LATE)
        for handle in (kept, left):
            assert (await first.inspect(handle)).alive  # they have heard of it: a next supervisor fences off the rest
        await first.close()
        second = await make()
        for handle in (alone, kept, left):
            await second.recover(handle, 2)
        assert (await _ended(second, left)).reason == Reason.LOST
        for handle in (alone, kept):
            assert (await second.inspect(handle)).alive
            await second.stop(handle, grace_ms=1000)
            assert (await _ended(second, handle)).reason != Reason.LOST

    async def test_it_may_be_kept_before_it_is_let_go(self, make: Make, ask: Callable[..., SessionRequest]) -> None:
        """So that whoever dies just after letting it go leaves nothing that goes on for ever."""
        executor = await make()
        if not executor.capabilities().recover:
            pytest.skip("its sessions end with it")

        async def keep(handle: str) -> None:
            await executor.keep(handle, SOON)

        handle = await executor.start(ask(self.lasting()), keep)
        assert (await _ended(executor, handle)).kind in (OutcomeKind.UNEXECUTABLE, OutcomeKind.RESCHEDULED)

    async def test_a_lease_that_is_over_ends_it_at_once_though_it_was_longer_before(
        self, make: Make, ask: Callable[..., SessionRequest]
    ) -> None:
        executor = await make()
        if not executor.capabilities().recover:
            pytest.skip("its sessions end with it")
        handle = await executor.start(ask(self.lasting()), Recorded())
        await executor.keep(handle, LATE)
        await executor.keep(handle, 0)
        assert (await _ended(executor, handle)).reason == Reason.LOST

    async def test_an_ended_session_is_kept_without_a_word_and_an_unknown_one_is_gone(
        self, make: Make, ask: Callable[..., SessionRequest]
    ) -> None:
        executor = await make()
        if not executor.capabilities().recover:
            pytest.skip("its sessions end with it")
        handle = await executor.start(ask(self.failing()), Recorded())
        assert (await _ended(executor, handle)).kind is OutcomeKind.FAILED
        await executor.keep(handle, 0)
        assert (await _ended(executor, handle)).kind is OutcomeKind.FAILED
        with pytest.raises(HandleGone):
            await executor.keep("nothing", LATE)


async def _ended(executor: Executor, handle: str):  # type: ignore[no-untyped-def]
    return await asyncio.wait_for(executor.wait(handle), SECONDS)


async def until_running(executor: Executor, handle: str) -> None:
    """Until the program's pid is known (at once where there is none)."""
    async with asyncio.timeout(SECONDS):
        while True:
            seen = await executor.inspect(handle)
            if seen.pid or seen.started_at:
                return
            await asyncio.sleep(0.01)


async def pid_in(path: Path) -> int:
    async with asyncio.timeout(SECONDS):
        while True:
            if path.exists() and (text := path.read_text()).endswith("\n"):
                return int(text)
            await asyncio.sleep(0.01)


def process_lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False

"""What a home remembers of the backend it last ran on, and what it asks there before it goes to another."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from lite.backends.memory import MemoryBackend
from lite.clock import VirtualClock
from lite.config.load import load_text
from lite.errors import BackendError, BackendSwitch
from lite.home import Home
from lite.model.settings import Settings
from lite.switching import check_switch, remember
from tests.support.backends import Desk

ON_REDIS = "backend: {url: redis://a:1/2, prefix: p}"
WORKER = "w-1"


class Stores:
    """Opens `backend` for whatever is asked, or fails; remembers what was asked."""

    def __init__(self, backend: MemoryBackend | None = None) -> None:
        self.backend = backend or MemoryBackend()
        self.asked: list[Settings] = []
        self.error: Exception | None = None
        self.clock = VirtualClock()

    def __call__(self, home: Home, settings: Settings) -> tuple[MemoryBackend, VirtualClock]:
        self.asked.append(settings)
        if self.error is not None:
            raise self.error
        return self.backend, self.clock


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


@pytest.fixture
def stores() -> Stores:
    return Stores()


def settings(text: str = "", **environ: str) -> Settings:
    return load_text(text, "q.yaml", environ=environ)


async def test_a_new_home_and_the_same_backend_ask_nothing(home: Home, stores: Stores) -> None:
    assert await check_switch(home, settings(ON_REDIS), open_backend=stores, leave=False) == ()
    remember(home, settings(ON_REDIS), WORKER)
    for same in (ON_REDIS, "backend: {url: redis://a:1/2, prefix: p, username: u, password: {env: X}}"):
        assert await check_switch(home, settings(same), open_backend=stores, leave=False) == ()
    tls = "backend: {url: rediss://A:1/2, prefix: p}"
    assert await check_switch(home, settings(tls), open_backend=stores, leave=False) == ()
    assert stores.asked == []
    assert stat.S_IMODE(home.last_backend.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "other",
    [
        "",
        "backend: {url: redis://b:1/2, prefix: p}",
        "backend: {url: redis://a:1/3, prefix: p}",
        "backend: redis://a:1/2",
    ],
)
async def test_another_host_database_or_prefix_is_another_backend(home: Home, stores: Stores, other: str) -> None:
    remember(home, settings(ON_REDIS), WORKER)
    await check_switch(home, settings(other), open_backend=stores, leave=False)
    assert [(one.backend, one.redis.prefix) for one in stores.asked] == [("redis://a:1/2", "p")]


async def test_a_home_from_before_there_was_a_choice_ran_on_sqlite(home: Home, stores: Stores) -> None:
    home.database.touch()
    await check_switch(home, settings(ON_REDIS), open_backend=stores, leave=False)
    assert [one.backend for one in stores.asked] == ["sqlite"]
    assert await check_switch(home, settings(), open_backend=stores, leave=False) == ()


async def test_nothing_secret_is_remembered(home: Home, stores: Stores) -> None:
    told = settings("backend: {url: redis://a, password: {env: PW}}", PW="hunter2")
    remember(home, told, WORKER)
    assert json.loads(home.last_backend.read_text())["redis"]["password"] == "env PW"
    remember(home, settings("", QD_BACKEND="redis://me:hunter2@a"), WORKER)
    # that variable names the new server by then: its password is not for the old one
    assert json.loads(home.last_backend.read_text())["redis"]["password"] == ""
    assert "hunter2" not in home.last_backend.read_text()


@pytest.fixture
async def desk(stores: Stores) -> Desk:
    desk = Desk(stores.backend)
    await stores.backend.open()
    await desk.join(WORKER)
    await desk.join("w-2")
    return desk


async def test_running_work_of_this_home_is_not_left_unasked(home: Home, stores: Stores, desk: Desk) -> None:
    await desk.submit(desk.spec("a"), desk.spec("b"), desk.spec("c"))
    await desk.claim(2, worker=WORKER)
    remember(home, settings(ON_REDIS), WORKER)
    stores.clock = VirtualClock(desk.now)
    with pytest.raises(BackendSwitch) as caught:
        await check_switch(home, settings(), open_backend=stores, leave=False)
    assert caught.value.exit_code == 3
    assert "redis://a:1/2, keys p:*, where 2 of its tasks still run" in str(caught.value)
    assert "--switch" in caught.value.hint
    told = await check_switch(home, settings(), open_backend=stores, leave=True)
    assert [line.rpartition(": ")[2] for line in told] == ["2 running task(s)", "1 queued task(s)"]


async def test_a_lease_that_has_expired_or_is_anothers_holds_nobody(home: Home, stores: Stores, desk: Desk) -> None:
    await desk.submit(desk.spec("a"), desk.spec("b"))
    await desk.claim(1, worker=WORKER)
    await desk.claim(1, worker="w-2")
    remember(home, settings(ON_REDIS), WORKER)
    stores.clock = VirtualClock(desk.now + 3_600_000)
    assert await check_switch(home, settings(), open_backend=stores, leave=False) == []
    remember(home, settings(ON_REDIS), "w-3")
    stores.clock = VirtualClock(desk.now)
    assert await check_switch(home, settings(), open_backend=stores, leave=False) == []


async def test_on_sqlite_every_running_task_counts(home: Home, stores: Stores, desk: Desk) -> None:
    await desk.submit(desk.spec("a"))
    await desk.claim(1, worker="w-2")
    stores.clock = VirtualClock(desk.now + 3_600_000)  # nobody else can rescue what has expired there
    remember(home, settings(), WORKER)
    home.database.touch()
    with pytest.raises(BackendSwitch, match="sqlite, where 1 of its tasks"):
        await check_switch(home, settings(ON_REDIS), open_backend=stores, leave=False)
    home.database.unlink()
    assert await check_switch(home, settings(ON_REDIS), open_backend=stores, leave=False) == []


async def test_one_that_cannot_be_asked_is_not_left_unasked_either(home: Home, stores: Stores) -> None:
    remember(home, settings(ON_REDIS), WORKER)
    stores.error = BackendError("connection refused", place="redis://a:1/2")
    with pytest.raises(BackendSwitch, match=r"cannot be asked whether work still runs: .*connection refused"):
        await check_switch(home, settings(), open_backend=stores, leave=False)
    (told,) = await check_switch(home, settings(), open_backend=stores, leave=True)
    assert "left unasked" in told


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"format": 2}',
        b'{"format": 1, "backend": "file:///etc", "redis": {}, "worker": ""}',
        b'{"format": 1, "backend": "redis://a", "redis": {}, "worker": ""}',
        b'{"format": 1, "backend": "redis://a:6379/0", "redis": {"prefix": "p"}, "worker": ""}',
        b"[" * 5000,
        b"\xff\xfe",
    ],
)
async def test_a_record_that_is_not_ours_is_not_believed(home: Home, stores: Stores, content: bytes) -> None:
    home.last_backend.write_bytes(content)
    with pytest.raises(BackendSwitch, match="cannot tell the last backend"):
        await check_switch(home, settings(), open_backend=stores, leave=False)
    (told,) = await check_switch(home, settings(), open_backend=stores, leave=True)
    assert "not known any more" in told
    remember(home, settings(), WORKER)
    assert await check_switch(home, settings(), open_backend=stores, leave=False) == ()
    assert stores.asked == []

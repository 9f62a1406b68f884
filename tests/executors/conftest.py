"""A desk whose home is thrown away, and which must be left clean."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.executors.sessions import Desk


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path)
    try:
        yield made
        for executor in made.executors:
            for link in list(executor._links.values()):
                if not link.outcome.done():
                    await executor.stop(str(link.handle), grace_ms=0)
                    await link.outcome
        await made.close()
    finally:
        made.kill_all()

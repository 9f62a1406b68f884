"""A cluster for a test: `cluster` in its own loop. Import the fixtures, or list this module in `pytest_plugins`."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.kube.cluster import FakeCluster
from tests.support.kube.control import RemoteCluster

if not sys.platform.startswith("linux"):
    pytest.skip("the fake cluster looks after its processes by /proc", allow_module_level=True)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[FakeCluster]:
    async with FakeCluster(tmp_path / "cluster") as running:
        yield running


@pytest.fixture
def remote_cluster(tmp_path: Path) -> Iterator[RemoteCluster]:
    """In a process of its own."""
    with RemoteCluster(tmp_path / "cluster") as running:
        yield running

"""What the topics of the backend contract share. `backend` is supplied by each implementation's test class."""

from __future__ import annotations

import pytest

from lite.ports import Backend
from tests.support.backends import Desk


class BackendTopic:
    @pytest.fixture
    async def desk(self, backend: Backend) -> Desk:
        """A desk with worker `w1` registered."""
        desk = Desk(backend)
        await desk.join("w1")
        return desk

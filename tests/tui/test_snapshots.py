"""The main views as pictures a person has accepted: `make screenshots` shows them, --snapshot-update takes new ones."""

from __future__ import annotations

import pytest
from pytest_textual_snapshot import SVGImageExtension
from syrupy.assertion import SnapshotAssertion

from tests.support.scenes import SCENES, Scene, shown

SIZES = [(120, 36), (80, 24)]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
async def test_view(snapshot: SnapshotAssertion, scene: Scene, size: tuple[int, int]) -> None:
    async with shown(scene, size, real=False) as app:
        picture = app.export_screenshot(title="")
    assert picture == snapshot.use_extension(SVGImageExtension)

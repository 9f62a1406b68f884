"""`make screenshots`: the main views as SVG, with sessions that replay real programs."""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "examples" / "pictures"
SIZES = {"grid": (150, 44), "help": (100, 48)}
SIZE = (130, 36)


async def draw(names: list[str]) -> None:
    from tests.support.scenes import SCENES, shown

    FOLDER.mkdir(exist_ok=True)
    for scene in SCENES:
        if names and scene.name not in names:
            continue
        async with shown(scene, SIZES.get(scene.name, SIZE)) as app:
            picture = app.export_screenshot(title="qd")
        # a picture must not load fonts from somewhere
        picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
        path = FOLDER / f"{scene.name}.svg"
        path.write_text(picture)
        print(path)


def main() -> int:
    import os

    with tempfile.TemporaryDirectory() as home:
        os.environ.update(HOME=home, XDG_STATE_HOME=home, XDG_CONFIG_HOME=home)
        os.environ.pop("NO_COLOR", None)
        asyncio.run(draw(sys.argv[1:]))
    return 0


if __name__ == "__main__":
    sys.exit(main())

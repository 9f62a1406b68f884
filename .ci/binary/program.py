"""The frozen program: `qd`, and how its single file settles in the cache."""

import sys

from lite import bundle

bundle.begin()
if sys.argv[1:2] == ["_settle"]:
    sys.exit(bundle.settle(*sys.argv[2:]))

from lite.__main__ import main  # noqa: E402 - after the environment is clean

sys.exit(main())

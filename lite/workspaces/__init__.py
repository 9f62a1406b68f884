"""Where tasks' files are: the project's own directory, shared by all, and a staging folder a run.

Layer: beside `lite.backends` and `lite.executors`, below the engine. Worktrees and clones will live here.
"""

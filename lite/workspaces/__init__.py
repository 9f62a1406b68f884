"""Where a task's files are: for now the project's own directory, shared by all.

Layer: beside `lite.backends` and `lite.executors`, below the engine. Worktrees and clones will live here.
"""

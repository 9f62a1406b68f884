"""SQLite: one writer thread with group commit, read-only connections beside it.

Layer: a backend (see `lite.backends`). `backend` is the port, `writer` the thread and its transactions, `store` the
rows and caches it alone touches, `tasks` and `workers` the verbs, `gate` what keeps a queued task from being claimed,
`readers` and `queries` the other side, `migrations` the file's versions.
"""

from lite.backends.sqlite.backend import SqliteBackend

__all__ = ["SqliteBackend"]

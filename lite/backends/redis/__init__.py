"""Redis: truth in hashes and sorted sets, every verb one call of a Lua library, one stream of events; streams around it
that others may write to and read from. See `lua/` for the keys.

Layer: `lite.backends`; knows no other backend.
"""

from lite.backends.redis.backend import RedisBackend

__all__ = ["RedisBackend"]

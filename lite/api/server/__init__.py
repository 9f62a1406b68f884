"""The server of the control API: FastAPI over the engine's facade, on a Unix socket bound by ourselves.

Layer: above `lite.engine`, of which it sees `Operations` only; below the daemon, which runs it.
"""

"""The pure decisions: who may run what, when, where, and what follows from an end.

No I/O, no clock, no randomness: time and random numbers come in. These functions are the reference; SQL and Lua
re-express what must be atomic, and the state machine test proves them equal.
"""

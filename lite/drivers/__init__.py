"""Programs beside an agent that speak its protocol: `qd _drive SPEC`, one process per session, under the holder.

A conversation (permissions asked and answered, a turn cancelled, stdin closed at the end) would die with the
supervisor, were it the supervisor's. So each is a small process of its own: `frame` starts the agent, prints its doings
as neutral lines, takes answers and signals, and ends it; one module per protocol (`acp`, `claude`) converses. It knows
the vocabulary of `providers` and how to look at processes; nothing of the engine.
"""

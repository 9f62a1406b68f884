"""Programs on this machine, each under a terminal of its own that outlives the supervisor.

`executor` is the supervisor's side (asyncio). `nursery` is a small process that forks holders; `holder` is one
session's process: it starts the program, drains and records its terminal, serves watchers, answers queries, ends the
tree. What nursery and holder import is standard library, ptyprocess, `lite.recordings` and `lite.terminal.packets`: a
holder's private memory is its price per session. Nothing is imported here, so that each side loads only its own.
"""

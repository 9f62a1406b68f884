"""The engine: claims work, runs it, records exactly one outcome per attempt, and survives its own death.

Layer: above `lite.ports`; it sees ports, never a concrete backend or executor. Five loops, each a `Service`: route
(`orchestrator`), claim and run (`dispatcher`, `runner`), report health (`registry`), recover (`rescuer`), watch the
config (`reloader`). `operations` is what the control API may ask for; `supervisor` starts and stops it all.
"""

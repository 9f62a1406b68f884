"""The scripted agent, `qd _scripted FILE`: a stand-in for a coding agent that plays a YAML script.

It is the demo and the test tool: prints, types, asks, streams JSON events, floods, leaves processes behind, dies as it
is told. Layer: a program of its own; imports yaml and the standard library, nothing of ours.
"""

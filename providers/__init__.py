"""Adapters to agent programs: the ground floor, sans-I/O.

Request in, launch out; bytes in, events out. No asyncio, no clock, no import of `lite`. A new provider is one file, one
entry point and one recorded transcript.
"""

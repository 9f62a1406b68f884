"""What the two ends of a terminal session share: packets, and what is safe to show. A leaf.

Imported by holders, so: standard library only, nothing heavy, no import at package level.
"""

"""Where truth is kept: one package (or module) per backend behind `lite.ports.Backend`.

Layer: above `lite.ports`, beside executors; only `lite.wiring` knows the concrete classes. Backends never import one
another; what a transition makes of a row is the same everywhere and lives in `changes`.
"""

"""Where attempts run: one module or package per kind, each an implementation of `lite.ports.Executor`.

They know ports, model and leaves, never each other nor the engine.
"""

"""Quarterdeck without a screen: engine, backends, executors, control API and command line.

Arrows point downward only (checked by import-linter in pyproject.toml):

    lite.cli -> lite.api.client -> lite.api.messages
    lite.daemon -> lite.wiring -> lite.api.server -> lite.engine
                   lite.wiring -> lite.backends | lite.executors | lite.peers | lite.workspaces | lite.config
    all of these -> lite.ports -> lite.rules -> lite.states -> lite.model -> lite.errors -> providers
    leaves: lite.recordings  lite.terminal  lite.aio  lite.clock  lite.home  lite.identity  lite.restart
"""

__version__ = "0.1.0"

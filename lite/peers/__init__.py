"""Other workers' control APIs over HTTP and WebSocket: implements the port `Peers`.

Beside the backends and executors, below the engine. A peer is a machine of its own and not trusted: every size and
every wait has an end, and what it sends is judged (`judging`) before anybody else sees it.
"""

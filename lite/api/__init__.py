"""The control API: HTTP and WebSocket over a Unix socket.

Layers: `messages` (the shape of every JSON body) below `client` (light, synchronous, for the command line) and below
`server` (FastAPI over the engine's facade). The client knows nothing of the server but its messages.
"""

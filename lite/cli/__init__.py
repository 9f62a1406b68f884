"""The command line. Layer: above `lite.api.client`; knows no engine, backend or executor.

Every command imports only what it needs: `app` finds the command's family in `commands.FAMILIES` and imports that one
module. Nothing here imports asyncio, pydantic or sqlite3 at the top; `qd ls` is argparse, json and one socket.
"""

"""`python -m tests.support.kube --port 0 --dir D`: a fake cluster until TERM. Its first line says where it is."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from pathlib import Path

from tests.support.kube.cluster import FakeCluster
from tests.support.kube.control import Control, die_with


async def serve(options: argparse.Namespace) -> None:
    cluster = FakeCluster(options.dir, tls=options.tls, namespace=options.namespace)
    await cluster.start(options.port)
    control = Control(cluster)
    await control.start()
    try:
        over = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, over.set)
        told = {"url": cluster.url, "kubeconfig": cluster.kubeconfig(), "control": control.url}
        print(json.dumps(told), flush=True)
        await over.wait()
    finally:
        await control.aclose()
        await cluster.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.support.kube")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--namespace", default="default")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--die-with", type=int, default=0, metavar="PID", help="end when this parent does")
    options = parser.parse_args()
    if options.die_with:
        die_with(options.die_with)
    asyncio.run(serve(options))


if __name__ == "__main__":
    main()

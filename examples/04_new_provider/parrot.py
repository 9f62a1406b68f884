"""parrot: an agent that repeats you. It stands for whatever program you want to run; nothing here knows Quarterdeck.

It reads its task from stdin and prints a JSON object a line. Like many real agents it exits with 0 when it gave up.
"""

from __future__ import annotations

import json
import sys
import uuid


def main() -> int:
    if "--version" in sys.argv:
        print("parrot 1.2.0")
        return 0
    known = sys.argv[sys.argv.index("--continue") + 1] if "--continue" in sys.argv else ""
    heard = sys.stdin.read().strip()
    tell("hello", conversation=known or str(uuid.uuid4()))
    if "sleepy" in heard:
        tell("sorry", about="busy", again_in=1.5, words="I am asleep, come back later")
        return 0
    tell("thinks", words=f"{len(heard.split())} words to repeat")
    tell("squawks", words=heard)
    tell("done", words=heard.upper(), tokens={"heard": len(heard), "said": len(heard)})
    return 0


def tell(what: str, **more: object) -> None:
    print(json.dumps({"parrot": what, **more}), flush=True)


if __name__ == "__main__":
    sys.exit(main())

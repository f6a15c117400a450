"""A flood from one key, in a separate process: `python -m tests.soak.flooding ADDRESS FILE`.

It runs until its standard input ends, then prints the number of responses by status, as JSON. It has a low CPU priority
(nice), because real clients run on other machines.
"""

import json
import os
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import httpx

from tests.keys import BOB, bearer

CLIENTS = 24
PAUSE_SECONDS = 0.2  # after a 429; the flood ignores Retry-After


def main() -> None:
    """Send requests until standard input ends."""
    address, body = sys.argv[1], Path(sys.argv[2]).read_bytes()
    os.nice(10)
    statuses: Counter[int] = Counter()
    stop = threading.Event()

    def press() -> None:
        with httpx.Client(base_url=address, timeout=120, trust_env=False, headers=bearer(BOB)) as client:
            while not stop.is_set():
                status = client.post("/stylize?style=mosaic&stroke=off", content=body).status_code
                statuses[status] += 1
                if status == 429:
                    time.sleep(PAUSE_SECONDS)

    threads = [threading.Thread(target=press) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()
    print(json.dumps(statuses))


if __name__ == "__main__":
    main()

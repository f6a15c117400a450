"""Download a file into an image, refused unless its SHA-256 begins as expected: fetch.py URL PREFIX TARGET."""

import hashlib
import sys
import urllib.request
from pathlib import Path


def main(url: str, prefix: str, target: str) -> None:
    """Write TARGET, or exit with what is wrong."""
    with urllib.request.urlopen(url) as answer:  # noqa: S310  # the builder's own argument
        data = answer.read()
    digest = hashlib.sha256(data).hexdigest()
    if not prefix or not digest.startswith(prefix):
        sys.exit(f"{url}: sha256 {digest}, expected one that begins with {prefix!r}")
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).write_bytes(data)
    print(f"{target}: {len(data)} bytes, sha256 {digest}")


if __name__ == "__main__":
    main(*sys.argv[1:])

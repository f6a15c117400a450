"""HEALTHCHECK of the service's image: exit code 0 when /readyz answers 200. Standard library only: it runs often."""

import http.client
import os
import sys


def main() -> int:
    """Ask the service of this container; print what it said, which `docker inspect` shows."""
    port = int(os.environ.get("IMPASTO_PORT", "8000"))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
    except OSError as error:
        print(f"no answer on port {port}: {error}")
        return 1
    print(response.status, response.read(200).decode(errors="replace"))
    return 0 if response.status == http.HTTPStatus.OK else 1


if __name__ == "__main__":
    sys.exit(main())

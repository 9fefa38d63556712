"""Ask the service of this machine whether it is ready: what a container's health check runs.

    python -m service.probe

Exit codes: 0 ready, 1 not.
"""

import http.client
import os
import sys

SECONDS = 2.5


def main() -> int:
    """Ask; give the exit code. Standard library only: it is started every few seconds."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", int(os.environ.get("PORT") or 8000), timeout=SECONDS
    )
    try:
        connection.request("GET", "/readyz")
        return 0 if connection.getresponse().status == http.client.OK else 1
    except OSError:
        return 1


if __name__ == "__main__":
    sys.exit(main())

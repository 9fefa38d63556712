"""Ask the service of this machine whether it is ready: what a container's health check runs.

It asks at HOST and PORT, as the service listens there.

    python -m service.system.probe

Exit codes: 0 ready, 1 not.
"""

import http.client
import sys

from service.settings.reader import SettingsError, read

SECONDS = 2.5
# Where a service listens that is told to listen on every address.
LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - only compared


def main() -> int:
    """Ask; return the exit code. Imports little: it is started every few seconds."""
    try:
        given = {name: value.text for name, value in read(["HOST", "PORT"]).given.items()}
        host = given.get("HOST", "")
        connection = http.client.HTTPConnection(
            LOOPBACK.get(host, host), int(given.get("PORT", "8000")), timeout=SECONDS
        )
        connection.request("GET", "/readyz")
        return 0 if connection.getresponse().status == http.client.OK else 1
    except (OSError, SettingsError):
        return 1


if __name__ == "__main__":
    sys.exit(main())

"""Ask the service of this machine whether it is ready: what a container's health check runs.

    python -m service.probe

Exit codes: 0 ready, 1 not.
"""

import http.client
import sys

from service.setting_reader import SettingsError, read

SECONDS = 2.5


def main() -> int:
    """Ask; return the exit code. Imports little: it is started every few seconds."""
    try:
        port = read(["PORT"]).given.get("PORT")
        connection = http.client.HTTPConnection(
            "127.0.0.1", 8000 if port is None else int(port.text), timeout=SECONDS
        )
        connection.request("GET", "/readyz")
        return 0 if connection.getresponse().status == http.client.OK else 1
    except (OSError, SettingsError):
        return 1


if __name__ == "__main__":
    sys.exit(main())

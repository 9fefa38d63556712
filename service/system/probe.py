"""Check whether the service on this machine is ready. Containers run this as their health check.

The request goes to HOST and PORT, where the service listens.

    python -m service.system.probe

Exit codes: 0 ready, 1 not ready, 3 it accepted the connection but did not answer within 2.5 s.
"""

import http.client
import sys

from service.settings.address import read_address
from service.settings.reader import SettingsError

SECONDS = 2.5
NO_ANSWER = 3  # not 2: Docker reserves that one
# Where to reach a service that listens on every address.
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - only compared


def main() -> int:
    """Send the request and return the exit code. It starts every few seconds: import little."""
    try:
        host, port = read_address()
        connection = http.client.HTTPConnection(LOOPBACK.get(host, host), port, timeout=SECONDS)
        connection.request("GET", "/readyz")
        return 0 if connection.getresponse().status == http.client.OK else 1
    except TimeoutError:
        return NO_ANSWER
    except (OSError, SettingsError):
        return 1


if __name__ == "__main__":
    sys.exit(main())

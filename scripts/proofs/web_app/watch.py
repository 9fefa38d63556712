"""What must not happen in a page, whatever a test is about.

A console error, a violation of the Content Security Policy (which Chromium reports as a console
error), an exception that nothing caught, or a request to another origin than those of the stack.
"""

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from playwright.async_api import BrowserContext, ConsoleMessage, Request, WebError

# Chromium aborts requests when a network interface comes or goes, such as that of a container that
# another program starts on this machine.
NETWORK_CHANGED: Final = "net::ERR_NETWORK_CHANGED"
# Chromium reports it in a second line, after one with the reason, such as CORS, which is judged.
# Alone, it has been seen only in tabs whose requests DevTools intercepts (`Network`), and the page
# went on as it should. The cause is not known.
_WITHOUT_A_REASON: Final = "net::ERR_FAILED"
_LOCAL_SCHEMES: Final = frozenset({"data", "blob", "about"})


class Watch:
    """Collects what goes wrong in all pages of a browser context."""

    def __init__(self, context: BrowserContext, origins: Collection[str]) -> None:
        self._origins = frozenset(origins)
        self._allowed = [re.compile(NETWORK_CHANGED), re.compile(_WITHOUT_A_REASON)]
        self._seen: list[str] = []
        context.on("console", self._console)
        context.on("weberror", self._error)
        context.on("request", self._request)

    def allow(self, *patterns: str) -> None:
        """Allow what matches a regular expression, such as `"status of 503"`, from now on.

        A browser reports each failed request as a console error, so a test that stops the service
        allows that.
        """
        self._allowed += [re.compile(pattern) for pattern in patterns]

    def problems(self) -> list[str]:
        """Return what has gone wrong, without what is allowed."""
        return [line for line in self._seen if not any(each.search(line) for each in self._allowed)]

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            place = message.location.get("url", "")
            self._seen.append(f"console: {message.text} ({place})")

    def _error(self, error: WebError) -> None:
        self._seen.append(f"exception: {error.error}")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in _LOCAL_SCHEMES:
            return
        if f"{parts.scheme}://{parts.netloc}" not in self._origins:
            self._seen.append(f"request to a third party: {request.method} {request.url}")

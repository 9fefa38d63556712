"""The configuration of the logs, which LOG_FORMAT and LOG_REQUESTS choose.

It is read before the other settings, so that the report of their mistakes has the right form. This
module imports nothing large, because the parent of several workers uses it too.
"""

import logging.config
import sys
from collections.abc import Iterable
from typing import Any, Final

from service.settings.reader import SettingsError, read
from service.system.buffered_log import LINE_FORMAT
from service.system.json_log import json_line

_FORMAT: Final = "LOG_FORMAT"
_REQUESTS: Final = "LOG_REQUESTS"
# As in the settings' model (pydantic).
_OFF: Final = frozenset({"0", "off", "f", "false", "n", "no"})
_HANDLER: Final = "service.system.buffered_log.BufferedHandler"


def log_config() -> dict[str, Any]:
    """Return the configuration for `logging.config.dictConfig`, and for uvicorn."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "text": {"format": LINE_FORMAT},
            "json": {"()": "service.system.json_log.JsonFormatter"},
            "complete": {"format": "%(message)s"},
        },
        "handlers": {
            "lines": {"()": _HANDLER, "formatter": "json" if _is_json() else "text"},
            "complete": {"()": _HANDLER, "formatter": "complete"},
        },
        "root": {"level": "INFO", "handlers": ["lines"]},
        # httpx logs a line for each key fetch; our own logger reports fetches that fail.
        "loggers": {
            "httpx": {"level": "WARNING"},
            "service.requests": {"level": "WARNING" if _chosen(_REQUESTS) in _OFF else "INFO"},
            # Its lines are JSON already.
            "security": {"handlers": ["complete"], "propagate": False},
        },
    }


def configure_logs() -> None:
    """Configure the logs of this process."""
    logging.config.dictConfig(log_config())


def report_mistakes(lines: Iterable[str]) -> None:
    """Write why the service cannot start to standard error, one line for each reason."""
    for line in lines:
        written = json_line("CRITICAL", "service", line) if _is_json() else f"service: {line}"
        sys.stderr.write(f"{written}\n")


def _is_json() -> bool:
    return _chosen(_FORMAT) == "json"


def _chosen(setting: str) -> str:
    """Return the text of a setting, or nothing. The check of all settings reports a wrong value."""
    try:
        given = read([setting]).given.get(setting)
    except SettingsError:
        return ""
    return "" if given is None else given.text.lower()

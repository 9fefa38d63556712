"""Import FastAPI and httpx without the parts that the service does not need at its start."""

import sys

from pydantic import BaseModel


def import_fastapi() -> None:
    """Import FastAPI. Its own models, which `/openapi.json` needs, are built when first used.

    Building them takes pydantic 0.03 s. Models that are defined later, such as those of requests,
    are built at once. Call this before anything else imports FastAPI.
    """
    BaseModel.model_config["defer_build"] = True  # every model inherits it when it is defined
    try:
        import fastapi.openapi.models  # noqa: F401, PLC0415 - only here it is deferred
    finally:
        del BaseModel.model_config["defer_build"]


def import_httpx() -> None:
    """Import httpx without its command line. Call this before anything else imports httpx.

    httpx imports it if rich is installed, which our commands use. That takes 0.04 s.
    """
    command_line = "httpx._main"
    # With None, importing it raises ImportError, which httpx expects where rich is not installed.
    sys.modules[command_line] = None  # type: ignore[assignment]  # typeshed has no None here
    try:
        import httpx  # noqa: F401, PLC0415 - only here its command line is left out
    finally:
        del sys.modules[command_line]

"""Import FastAPI without building its models of OpenAPI, which only `/openapi.json` needs."""

from pydantic import BaseModel


def import_fastapi() -> None:
    """Import FastAPI. Its own models are built when they are first used.

    Building them takes pydantic 0.03 s. Models that are defined later, such as those of requests,
    are built at once. Call this before anything else imports FastAPI.
    """
    BaseModel.model_config["defer_build"] = True  # every model inherits it when it is defined
    try:
        import fastapi.openapi.models  # noqa: F401, PLC0415 - only here it is deferred
    finally:
        del BaseModel.model_config["defer_build"]

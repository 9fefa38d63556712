"""`/docs`: Swagger UI, served by ourselves; no other host's scripts run beside a person's token."""

from typing import Final

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

_ASSETS: Final = "docs/assets"


def add_docs(app: FastAPI) -> None:
    """Have `app` serve the page and what it is made of."""
    files = StaticFiles(packages=[("fastapi_swagger", "resources")])
    app.mount(f"/{_ASSETS}", files, name="docs-assets")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        # Relative, for a proxy may serve all of this below a path.
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title=app.title,
            swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{_ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{_ASSETS}/favicon-32x32.png",
            # A token stays in the page's memory: whatever is stored, any script could read later.
            swagger_ui_parameters={"persistAuthorization": False},
        )

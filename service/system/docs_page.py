"""`/docs`: Swagger UI from our own files, so that no other host's script can read a user's token.

The page contains no inline script or style, and its Content-Security-Policy forbids both. Text that
is injected into the page cannot run there.
"""

from html import escape
from typing import Final

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

_ASSETS: Final = "docs/assets"
_START: Final = f"{_ASSETS}/start.js"

# All URLs are relative, because a proxy may serve the page below a path.
_PAGE: Final = f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{title}}</title>
<link rel="stylesheet" href="{_ASSETS}/swagger-ui.css">
<link rel="icon" href="{_ASSETS}/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{_ASSETS}/swagger-ui-bundle.js"></script>
<script src="{_START}"></script>
</body>
</html>
"""
# A token stays in the page's memory: any script of this origin could read it from browser storage.
_SCRIPT: Final = """\
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  persistAuthorization: false,
  showCommonExtensions: true,
  showExtensions: true,
});
"""
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    # Swagger UI's style sheet embeds its icons as data: URLs.
    " img-src 'self' data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    # A page that opened this one, where users paste tokens, gets no handle on its window.
    "Cross-Origin-Opener-Policy": "same-origin",
}


def add_docs(app: FastAPI) -> None:
    """Add the page and the files that it loads to `app`."""
    page = _PAGE.format(title=escape(f"{app.title} - API"))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page, headers=_HEADERS)

    @app.get(f"/{_START}", include_in_schema=False)
    async def start() -> Response:
        return Response(_SCRIPT, media_type="text/javascript")

    files = StaticFiles(packages=[("fastapi_swagger", "resources")])
    app.mount(f"/{_ASSETS}", files, name="docs-assets")

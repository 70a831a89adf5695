"""The page at /docs: Swagger UI from this server, so that it works without a network and calls no other server."""

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

# Swagger UI sets style attributes, shows data: icons and previews answers as blobs; it needs nothing else.
_CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

# Relative addresses, so that the page also works behind a proxy that adds a prefix.
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Whybox API</title>
<link rel="icon" href="docs/assets/favicon-32x32.png">
<link rel="stylesheet" href="docs/assets/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/assets/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""

# A file of its own, because the policy allows no script inside of the page.
_START = """\
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  validatorUrl: null,
});
"""


async def page(request: Request) -> Response:  # noqa: ARG001 (a handler)
    """The documentation page."""
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _CONTENT_SECURITY_POLICY})


async def start_script(request: Request) -> Response:  # noqa: ARG001 (a handler)
    """The script that opens the document in Swagger UI."""
    return Response(_START, media_type="text/javascript")


def assets() -> StaticFiles:
    """Swagger UI's own files, from the package that carries them."""
    return StaticFiles(packages=[("swagger_ui", "static")])

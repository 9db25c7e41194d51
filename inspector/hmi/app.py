"""The web application: a page, what it shows as JSON, and pictures. Reading only."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from inspector.core.part import PartId
from inspector.hmi.view import View

_STATIC = Path(__file__).parent / "static"
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_WHOLE_NUMBER = re.compile(r"[0-9]{1,18}")


def create_app(view: View) -> Starlette:
    """The application over one line's records."""

    def state(_request: Request) -> Response:
        return JSONResponse(view.content())

    def picture(request: Request) -> Response:
        lane, session, number, kind = (
            request.path_params[name] for name in ("lane", "session", "number", "kind")
        )
        known = kind in ("cup", "heat") and all(map(_WHOLE_NUMBER.fullmatch, (session, number)))
        # The file's name comes from the ledger, never from the address.
        file = view.picture(PartId(lane, int(session), int(number)), kind) if known else None
        if file is None or not file.is_file():
            return PlainTextResponse("no such picture", status_code=404)
        return FileResponse(file, media_type="image/jpeg")

    def health(_request: Request) -> Response:
        return PlainTextResponse("ok")

    return Starlette(
        routes=[
            *(_static(path, name) for path, name in _pages()),
            Route("/api/state", state, methods=["GET"]),
            Route("/pictures/{lane}/{session}/{number}/{kind}.jpg", picture, methods=["GET"]),
            Route("/healthz", health, methods=["GET"]),
        ],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=_with_headers)],
    )


def _pages() -> list[tuple[str, str]]:
    return [("/", "index.html"), *((f"/{n}", n) for n in ("page.css", "page.js", "icon.svg"))]


def _static(path: str, name: str) -> Route:
    """A file of the package, read once."""
    content = (_STATIC / name).read_bytes()
    media_type = _MEDIA_TYPES[Path(name).suffix]

    def serve(_request: Request) -> Response:
        return Response(content, media_type=media_type)

    return Route(path, serve, methods=["GET"])


async def _with_headers(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await call_next(request)
    response.headers.update(_HEADERS)
    return response

"""Who may use the dock screen: the store's own pages, under a name that is really this machine.

A page from elsewhere, open in the same browser, can send a form to 127.0.0.1; browsers mark it. A foreign name
that resolves to this machine (DNS rebinding) would look like our own origin, so names are limited too.
"""

import ipaddress

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.i18n import Translate


class OwnBrowserOnly:
    """ASGI middleware; refuses in words of `translate`."""

    def __init__(self, app: ASGIApp, host: str, translate: Translate) -> None:
        self._app = app
        self._host = host
        self._translate = translate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(Request(scope)) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        _ = self._translate
        if not self._is_ours(request.url.hostname or ""):
            words = _("Open this screen by its address, not by another name.")
            return JSONResponse({"message": words}, 421)
        if request.method not in ("GET", "HEAD") and _from_elsewhere(request):
            words = _("Another page tried to send this. Nothing was changed; use the dock screen itself.")
            return JSONResponse({"message": words}, 403)
        return None

    def _is_ours(self, name: str) -> bool:
        if name in ("localhost", self._host):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _from_elsewhere(request: Request) -> bool:
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return True
    origin = request.headers.get("origin")
    return origin is not None and origin != f"{request.url.scheme}://{request.headers.get('host', '')}"

"""The page as a WSGI application: GET and HEAD of a handful of paths. It reads, and changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
from markupsafe import Markup

from . import facts, kits, metrics, view

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

TEMPLATES = Path(__file__).parent / "templates"
HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("Cache-Control", "no-store"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
)
PLAIN = "text/plain; charset=utf-8"
STATIC = {
    "/style.css": "text/css; charset=utf-8",
    "/live.js": "text/javascript; charset=utf-8",
    "/icon.svg": "image/svg+xml",
}
# Status, type and content.
Answer = tuple[str, str, bytes]


class App:
    """The WSGI application over a folder of facts; asked: when it was last."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.folder, self.clock = folder, clock
        self.asked = 0.0
        loader = jinja2.FileSystemLoader(TEMPLATES)
        self._templates = jinja2.Environment(
            loader=loader,
            undefined=jinja2.StrictUndefined,
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """One request."""
        self.asked = self.clock()
        status, kind, content = self._answer(environ)
        own = [("Content-Type", kind), ("Content-Length", str(len(content)))]
        if status.startswith("405"):
            own.append(("Allow", "GET, HEAD"))
        start_response(status, [*own, *HEADERS])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [content]

    def _answer(self, environ: WSGIEnvironment) -> Answer:
        known = facts.facts(self.folder)
        if not is_ours(environ.get("HTTP_HOST", ""), known.hosts):
            return "421 Misdirected Request", PLAIN, b"this is not the host that you asked for\n"
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return "405 Method Not Allowed", PLAIN, b"there is nothing to change here\n"
        path = environ.get("PATH_INFO", "")
        if path == "/":
            return (
                "200 OK",
                "text/html; charset=utf-8",
                self._page(known, str(environ.get("REMOTE_ADDR", ""))),
            )
        if path == "/metrics":
            return "200 OK", metrics.TYPE, self._metrics(known)
        if path in STATIC:
            return "200 OK", STATIC[path], (TEMPLATES / path[1:]).read_bytes()
        if path[1:] in kits.names(self.folder):
            return "200 OK", PLAIN, (self.folder / facts.KIT / path[1:]).read_bytes()
        return "404 Not Found", PLAIN, b"there is no such page\n"

    def _page(self, known: facts.Facts, client: str) -> bytes:
        shown = view.build(known, facts.examination(self.folder), client, self.clock())
        return (
            self._templates.get_template("page.html.j2")
            .render(
                view=shown,
                kits=kits.rows(known.page, kits.names(self.folder)),
                qr=Markup(facts.text(self.folder / facts.QR)),  # our own
            )
            .encode()
        )

    def _metrics(self, known: facts.Facts) -> bytes:
        own = metrics.families(known, facts.examination(self.folder), self.clock())
        return metrics.text(own, facts.text(self.folder / facts.ZEROTIER)).encode()


def is_ours(host: str, names: Iterable[str]) -> bool:
    """Whether a Host header can be meant for this gateway.

    A page elsewhere whose name was made to lead here (DNS rebinding) sends that name, and never an address.
    """
    name = host.rpartition(":")[0] if host.count(":") == 1 or "]:" in host else host
    try:
        ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return name.lower().rstrip(".") in {"localhost", *names}
    return True

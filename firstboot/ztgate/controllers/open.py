"""Makes the controller that the configuration names."""

from __future__ import annotations

from .. import config, store
from ..calls import Calls
from ..errors import ZtgateError
from ..facts import time
from ..http import Api
from ..paths import Paths
from ..secret import Secret
from . import which
from .base import Controller
from .central_v1 import CentralV1
from .central_v2 import CentralV2
from .self_hosted import SelfHosted

KINDS: dict[str, type[CentralV1] | type[CentralV2] | type[SelfHosted]] = {
    "central-v1": CentralV1,
    "central-v2": CentralV2,
    "self-hosted": SelfHosted,
}
# Which Central a token is for. A run that waits begins again every few seconds, in the same process.
_found: dict[Secret, str] = {}


def required_token(settings: config.Controller) -> Secret:
    """The token; ZtgateError when there is none."""
    if not settings.token:
        raise ZtgateError(
            "no token for the controller",
            "add controller.token to gateway.yaml; ztgate tries again within two minutes",
        )
    return settings.token


def open_controller(settings: config.Controller, paths: Paths, calls: Calls) -> Controller:
    """The controller, ready to be asked; ZtgateError when there is no token for it."""
    token, kind, url = required_token(settings), settings.kind, settings.url
    authority = _authority(settings.ca_file, paths) if settings.ca_file else None
    doubt = time.read(paths).doubt

    def reach(url: str, headers: dict[str, str]) -> Api:
        return Api(url, headers, authority=authority, calls=calls, clock_doubt=doubt)

    if kind == "auto":
        kind = _found[token] = _found.get(token) or which.central(token.reveal(), reach)
        url = config.CENTRAL_V2 if kind == "central-v2" else url
    if kind == "central-v2":
        url = CentralV2.base(url)
    made = KINDS[kind]
    return made(reach(url, made.headers(token.reveal())))


def _authority(text: str, paths: Paths) -> str:
    """The authority's certificate, which may be given by its file's name."""
    if "-----BEGIN CERTIFICATE-----" in text:
        return text
    path = paths.root / text.lstrip("/") if text.startswith("/") else paths.fat / text
    if not path.is_file():
        raise ZtgateError(
            f"controller.ca-file: there is no {path}", "put the certificate's text there instead"
        )
    return store.read_text(path) or ""

"""Makes the controller that the configuration names."""

from __future__ import annotations

from collections.abc import Callable

from .. import config, store
from ..errors import ZtgateError
from ..http import Api
from ..paths import Paths
from ..wait import Clock
from .base import Controller
from .central_v1 import CentralV1
from .self_hosted import SelfHosted

KINDS: dict[str, type[CentralV1] | type[SelfHosted]] = {"central-v1": CentralV1, "self-hosted": SelfHosted}


def open_controller(
    settings: config.Controller, paths: Paths, clock: Clock, say: Callable[[str], None]
) -> Controller:
    """The controller, ready to be asked; ZtgateError when there is no token for it."""
    if not settings.token:
        raise ZtgateError(
            "no token for the controller",
            "add controller.token to gateway.yaml; ztgate tries again within two minutes",
        )
    kind = KINDS[settings.kind]
    ca_file = _ca_file(settings.ca_file, paths) if settings.ca_file else None
    headers = kind.headers(settings.token.reveal())
    return kind(Api(settings.url, headers, ca_file=ca_file, clock=clock, say=say))


def _ca_file(text: str, paths: Paths) -> str:
    """Path of the authority's certificate, which may be given as text."""
    if "-----BEGIN CERTIFICATE-----" in text:
        path = paths.run_dir / "controller-ca.pem"
        if store.read_text(path) != text:
            store.write(path, text.encode())
        return str(path)
    path = paths.root / text.lstrip("/") if text.startswith("/") else paths.fat / text
    if not path.is_file():
        raise ZtgateError(
            f"controller.ca-file: there is no {path}", "put the certificate's text there instead"
        )
    return str(path)

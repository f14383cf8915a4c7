"""Which of ZeroTier's two Centrals a token is for: both are asked, and one knows it."""

from __future__ import annotations

from collections.abc import Callable

from .. import config
from ..errors import WaitingError, ZtgateError
from ..http import Api, StatusError
from .central_v1 import CentralV1
from .central_v2 import CentralV2

HINT = (
    "make one in legacy Central (my.zerotier.com) under Account, or in new Central for a service account, "
    "which takes the Essential plan; for a controller of your own name controller.url"
)


def central(token: str, reach: Callable[[str, dict[str, str]], Api]) -> str:
    """The kind, central-v1 or central-v2; reach() makes an Api of a URL and credentials.

    Raises:
        WaitingError: one of them cannot be asked.
        ZtgateError: neither accepts the token.
    """
    asked = {
        "central-v1": (reach(config.central_v1(), CentralV1.headers(token)), _why_not_v1),
        "central-v2": (reach(CentralV2.base(config.CENTRAL_V2), CentralV2.headers(token)), _why_not_v2),
    }
    refusals = []
    for kind, (api, why_not) in asked.items():
        try:
            refusal = why_not(api)
        except WaitingError as reason:
            hint = "if only the other Central can be reached from here, name it as controller.kind"
            raise WaitingError(reason.message, hint) from None
        except StatusError as error:
            refusal = f"{error.code} {error.said}".strip()
        if not refusal:
            return kind
        refusals.append(f"{api.host} ({refusal})")
    raise ZtgateError(f"neither Central accepts the token: {', '.join(refusals)}", HINT)


def _why_not_v1(api: Api) -> str:
    # It answers 200 to everybody, and names the token's user to whom it knows.
    status = api.request("GET", "/status")
    return "" if isinstance(status, dict) and status.get("user") else "no such user"


def _why_not_v2(api: Api) -> str:
    api.request("GET", "/org")
    return ""

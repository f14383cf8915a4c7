"""What the gateway's owner hands out to members: a script or plain steps for each kind of device."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import jinja2

from ..config import Config

TEMPLATES = Path(__file__).parent / "templates"
# By the name under which it is handed out; scripts are those with a suffix of .sh and .ps1.
FILES = ("join.sh", "join-macos.sh", "join.ps1", "openwrt.sh", "phones.txt")


@dataclass(frozen=True)
class Kit:
    """What all of them have to know.

    gateway: its name. page: the URL of the gateway's own page, "" if it has none or it is not known yet.
    check_ipv4, check_ipv6, check_resolver: see `members` in gateway.schema.json.
    """

    network: str
    gateway: str
    page: str
    check_ipv4: str
    check_ipv6: str
    check_resolver: str


def kit(config: Config, page: str = "") -> Kit:
    """The values for a configuration; none of them is secret."""
    members = config.members
    return Kit(
        config.network,
        config.gateway.name,
        page,
        members.check_ipv4,
        members.check_ipv6,
        members.check_resolver,
    )


def render(name: str, values: Kit) -> str:
    """One of FILES. Values are quoted by the templates: the schema allows no quote in any of them."""
    return _templates().get_template(f"{name}.j2").render(asdict(values))


@cache
def _templates() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(TEMPLATES)
    return jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)

"""A gateway that never sees the token: this computer does the controller's part, the image gets an identity.

The image is whole before the controller hears of it: with an identity and `kind: none` a gateway asks people
for what is missing. So whatever fails in between, the same command goes on from there.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv6Network
from pathlib import Path

from builder import foreign, gateway_config, registrar, zerotier
from builder.errors import BuildError
from builder.registrar import Order
from builder.run import TOKEN, run, which

IDENTITY = "identity.secret"
NODE = re.compile(r"[0-9a-f]{10}")
TOOL = "zerotier-idtool"
GLOBAL = IPv6Network("2000::/3")
Say = Callable[[str], None]


def image(file: Path, config: Path, deb: Path | None, downloads: Path, say: Say) -> str:
    """Put an identity and a gateway.yaml without token on an image or a disk, and register that node."""
    text, order = _order(config)
    offset = gateway_config.firmware_offset(file)
    identity = (gateway_config.get(file, offset, IDENTITY) or "").strip()
    if not registrar.is_identity(identity):  # or it is there from a command that was not finished
        identity = _generate(deb, downloads, say)
    order = replace(order, node=identity[:10])
    registrar.register_node(order, say, dry_run=True)
    gateway_config.write(file, offset, {IDENTITY: identity, gateway_config.NAME: text})
    _registered(order, say)
    return order.node


def node(name: str, prefix: str | None, config: Path, say: Say) -> None:
    """Register a gateway that has been started, with its IPv6 if a prefix is given."""
    if not NODE.fullmatch(name):
        raise BuildError(
            f"--node {name}: a node id has 10 hexadecimal digits", "the gateway's status says it"
        )
    _, order = _order(config)
    order = replace(order, node=name, prefix=_prefix(prefix) if prefix else None, known=True)
    if prefix and order.config.ipv6.mode == "off":
        raise BuildError(f"--ipv6 {prefix}: {config} says ipv6.mode: off", "change one of the two")
    registrar.register_node(order, say, dry_run=True)
    _registered(order, say)


def _registered(order: Order, say: Say) -> None:
    address = registrar.register_node(order, say)
    also = f", with {order.prefix} for IPv6" if order.prefix else ""
    say(f"node {order.node} is the gateway of network {order.config.network} at {address}{also}")


def _order(path: Path) -> tuple[str, Order]:
    """gateway.yaml without its token for the gateway, and with it for here."""
    given = gateway_config.contents(path, gateway_config.LIMIT)
    filled, config = gateway_config.checked(given, path.name, path.parent)
    if config.controller.kind == "none":
        raise BuildError(f"{path}: controller.kind is none", "preauthorize needs a controller and a token")
    token = config.controller.token
    if not token:
        hint = f"give it as controller.token, controller.token-file or ${TOKEN}"
        raise BuildError(f"{path}: no token for the controller", hint)
    text = gateway_config.without_controller(filled)
    if token.reveal() in text:
        raise BuildError(
            f"{path}: the token is in another place, too, perhaps in a comment", "remove it there"
        )
    gateway_config.checked(text, path.name, path.parent)
    return text, Order(config, path.parent)


def _prefix(text: str) -> IPv6Network:
    prefix: IPv6Network | None
    try:
        prefix = IPv6Network(text)
    except ValueError:
        prefix = None
    if prefix is None or prefix.prefixlen != 64 or not prefix.subnet_of(GLOBAL):
        hint = "for example 2001:db8:1:2::/64; the gateway's status says it"
        raise BuildError(f"--ipv6 {text}: a global IPv6 /64 is needed", hint)
    return prefix


def _generate(deb: Path | None, downloads: Path, say: Say) -> str:
    """A new identity."""
    with tempfile.TemporaryDirectory() as scratch:
        argv, label = _tool(deb, downloads, Path(scratch), say)
        try:
            text = run([*argv, "generate"]).strip()  # without a file, which might outlive a kill
        except (BuildError, OSError) as e:
            reason = e.message if isinstance(e, BuildError) else str(e)
            hint = f"--zerotier names a package for this computer ({foreign.NATIVE})"
            raise BuildError(f"{label} makes no identity here: {reason}", hint) from None
    if not registrar.is_identity(text):
        raise BuildError(f"{label} made something that is no identity")
    return text


def _tool(deb: Path | None, downloads: Path, scratch: Path, say: Say) -> tuple[list[Path | str], str]:
    """The identity tool and its name: of a package that is named, or was downloaded, or is installed."""
    package = zerotier.from_file(deb, foreign.NATIVE) if deb else _downloaded(downloads)
    if package is None:
        installed = which(TOOL)
        if installed is None:
            hint = f"--zerotier PATH.deb, a package for this computer ({foreign.NATIVE}); or install it"
            raise BuildError("nothing here makes a ZeroTier identity", hint)
        return [installed], str(installed)
    if package.stand_in:
        say("the identity is the lab's stand-in's: good for the lab, and for no real network")
    run(["dpkg-deb", "--extract", package.path, scratch])
    return [scratch / "usr/sbin/zerotier-one", "-i"], str(package.path)


def _downloaded(downloads: Path) -> zerotier.Package | None:
    """The newest package that a build has downloaded, if this computer can run it."""
    found = downloads.glob(f"{zerotier.NAME}_*.deb")
    for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            return zerotier.from_file(path, foreign.NATIVE)
        except BuildError:  # for another architecture
            continue
    return None

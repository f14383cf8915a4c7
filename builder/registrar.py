"""The controller's part of setting a gateway up, by the appliance's own code, from this computer."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from builder import gateway_config
from builder.errors import BuildError

# isort: split
# gateway_config has told Python where the appliance's side is.
from ztgate import config as ztgate_config
from ztgate import derive, formats, register, tell
from ztgate.controllers.open import open_controller
from ztgate.errors import ZtgateError
from ztgate.machine import Machine
from ztgate.paths import Paths
from ztgate.state import State
from ztgate.steps import publish, publish_dns, register_gateway
from ztgate.zerotier import Network, Service

# Nothing: what the gateway's WAN will be is not known here.
NOWHERE = IPv4Network("0.0.0.0/32")
PEM = "-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True)
class Order:
    """A node and the network that it becomes the gateway of; relative paths begin at directory.

    prefix: the WAN's /64, None without IPv6. known: whether the network must have the member already.
    """

    config: ztgate_config.Config
    directory: Path
    node: str = ""
    prefix: IPv6Network | None = None
    known: bool = False


class _Elsewhere(Service):
    """The gateway is not this computer: nothing is to be seen of its network here."""

    def network(self, network: str) -> Network | None:
        """Never joined."""
        return None


def is_identity(text: str) -> bool:
    """Whether the appliance will take this as its identity."""
    return formats.IDENTITY.fullmatch(text) is not None


def register_node(order: Order, say: Callable[[str], None], *, dry_run: bool = False) -> str:
    """Authorize it and send members there; its address. A dry run reads all and writes nothing.

    Raises:
        BuildError: what the controller, or somebody else's default route, has against it.
    """
    with _machine(order, dry_run) as machine:
        state = _register(machine, order)
        for warning in machine.warnings:
            say(warning)
    return state.address


@contextmanager
def _machine(order: Order, dry_run: bool) -> Iterator[Machine]:
    """A machine that is only there to ask the controller; its files go away with it."""
    with tempfile.TemporaryDirectory() as scratch:
        machine = Machine(Paths(Path(scratch)), dry_run=dry_run, probe=lambda *_, **__: (0, "[]"))
        machine.service = _Elsewhere(machine.paths)
        machine.network_id = order.config.network
        controller = replace(order.config.controller, ca_file=_authority(order))
        try:
            machine.controller = open_controller(controller, machine.paths, machine.calls)
            yield machine
        except ZtgateError as e:
            raise BuildError(e.message, e.hint) from None


def _register(machine: Machine, order: Order) -> State:
    config = order.config
    subnet = derive.subnet_of(order.prefix, config.ipv6.subnet) if order.prefix else None
    want = register.Want(
        network=config.network,
        node=order.node,
        name=config.gateway.name,
        address=config.gateway.address,
        mtu=config.gateway.mtu,
        subnet=subnet,
    )
    had = _look_before(machine, order, want)
    state = register_gateway.run(machine, config, want, NOWHERE, State())
    vias: dict[register.Target, str] = {register.DEFAULT4: state.address}
    if subnet:
        vias[register.DEFAULT6] = str(want.rfc4193)
    publish.run(machine, vias)
    if config.dns and config.dns.domain:
        _point_members(machine, config, (state.address, *([str(want.rfc4193)] if subnet else [])), had)
    return state


def _point_members(
    machine: Machine, config: ztgate_config.Config, servers: tuple[str, ...], had: tuple[str, ...]
) -> None:
    """The network's DNS setting, for when the gateway is up."""
    domain = config.dns.domain if config.dns else ""
    kept = publish_dns.run(machine, domain, servers, had, takeover=config.gateway.takeover)
    if kept:
        machine.warn(f"{tell.THEIR_DNS}: {kept}; it stays, unless gateway.takeover is true")


def _look_before(machine: Machine, order: Order, want: register.Want) -> tuple[str, ...]:
    """The node's addresses so far.

    The appliance may, and this may not, replace a gateway that works by one that is not up yet.
    """
    controller = machine.require_controller()
    settings = controller.network(want.network).settings
    own = controller.member(want.network, want.node)
    if own is None and order.known:
        raise ZtgateError(
            f"network {want.network} has no member {want.node}", "the gateway's status says its node id"
        )
    found = register.foreign_defaults(settings, [str(want.rfc4193), *(own.addresses if own else ())])
    versions = {4, 6} if want.subnet else {4}
    listed = ", ".join(f"{net} via {via}" for net, via in found if net.version in versions)
    if listed:
        raise ZtgateError(
            f"network {want.network} already has a default route through another gateway: {listed}",
            "remove it at the controller, or `configure` the image: with the token and gateway.takeover, "
            "the new gateway takes over once it works",
        )
    return (str(want.rfc4193), *(own.addresses if own else ()))


def _authority(order: Order) -> str | None:
    """The text of controller.ca-file."""
    given = order.config.controller.ca_file
    if given is None or PEM in given:
        return given
    path = order.directory / Path(given).expanduser()
    if not path.is_file():
        raise BuildError(f"controller.ca-file: there is no {path} on this computer")
    return gateway_config.contents(path, gateway_config.LIMIT)

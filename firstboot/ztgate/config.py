"""gateway.yaml as frozen dataclasses. Settings, defaults and words for them are in gateway.schema.json."""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from . import formats, validate, yamltext
from .secret import Secret
from .surely_valid import surely_valid

# New Central's address; the default in the schema is legacy Central's.
CENTRAL_V2 = "https://central.zerotier.com"
SCHEMA_FILE = Path(__file__).parent.parent / "gateway.schema.json"
# The network of gateway.yaml.example.
PLACEHOLDER = "0" * 16
# What a discarded token looks like: same length, still a plain YAML scalar. Written by steps.drop_token.
DISCARDED = re.compile(r"discarded-*|-+")


@dataclass(frozen=True)
class Controller:
    """Where the network is administered.

    `kind` is "auto" where only the token tells: at the address that is both Centrals' default.
    """

    kind: str
    url: str
    token: Secret | None
    token_file: str | None
    token_after_setup: str
    ca_file: str | None


@dataclass(frozen=True)
class Gateway:
    """The gateway as a member. address is None for auto; mtu in bytes."""

    name: str
    address: ipaddress.IPv4Address | None
    takeover: bool
    mtu: int


@dataclass(frozen=True)
class IPv4:
    """masquerade, or snat to source."""

    mode: str
    source: ipaddress.IPv4Address | None


@dataclass(frozen=True)
class IPv6:
    """prefix (/48 to /64) is None for auto; subnet is the fifth group of members' addresses."""

    mode: str
    prefix: ipaddress.IPv6Network | None
    subnet: int


@dataclass(frozen=True)
class AllowRule:
    """Ports first..last of a protocol."""

    protocol: str
    first: int
    last: int


@dataclass(frozen=True)
class Firewall:
    """What reaches members from outside; and the private networks that they reach, of either family."""

    inbound: str
    allow: tuple[AllowRule, ...]
    reach: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()


@dataclass(frozen=True)
class Members:
    """What members' scripts ask: URLs that show the caller's address, a name that shows its resolver's."""

    check_ipv4: str
    check_ipv6: str
    check_resolver: str


@dataclass(frozen=True)
class Dns:
    """The resolver for members, None in Config without one. domain: what the network is told, or "".

    upstream: recursive, wan, or "" for the resolvers of `forward`. anchors: (zone, data) of DS records.
    """

    domain: str
    upstream: str
    forward: tuple[str, ...] = ()
    anchors: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Wifi:
    """A wireless network to be a member of; password is None for an open one, country may be ""."""

    ssid: bytes
    password: Secret | None
    country: str
    hidden: bool


@dataclass(frozen=True)
class Ssh:
    """Who gets in by SSH, and from where (source: members, wan or off)."""

    authorized_keys: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class ZeroTier:
    """Private roots, as typed: moons in base64 or as world ids, the planet in base64."""

    moons: tuple[str, ...]
    planet: str | None


@dataclass(frozen=True)
class Updates:
    """Whether updates are installed, and the hour, 0 to 23, in local time."""

    wanted: bool
    hour: int


@dataclass(frozen=True)
class Config:
    """A whole, valid gateway.yaml."""

    network: str
    controller: Controller
    gateway: Gateway
    ipv4: IPv4
    ipv6: IPv6
    firewall: Firewall
    dns: Dns | None
    members: Members
    page: bool
    updates: Updates
    wifi: Wifi | None
    ssh: Ssh
    zerotier: ZeroTier


@cache
def schema() -> dict[str, Any]:
    """gateway.schema.json."""
    data: dict[str, Any] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    return data


def is_token(text: str) -> bool:
    """Whether text can be a controller's token."""
    pattern: str = schema()["properties"]["controller"]["properties"]["token"]["pattern"]
    return re.search(pattern, text) is not None


def load(text: str, name: str) -> Config:
    """Read and check a gateway.yaml; name stands for it in errors."""
    document = yamltext.parse(text, name, schema())
    validate.raise_if_any(document.slips, name)
    _placeholders(document)
    if document.problems or not surely_valid(document.value, schema()):
        validate.check(document, schema(), name)
    data = _with_defaults(document.value, schema())
    validate.raise_if_any(_contradictions(data, document), name)
    return _build(data)


def _with_defaults(value: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    result = dict(value)
    for key, below in part["properties"].items():
        if "default" in below:
            result.setdefault(key, below["default"])
        if below.get("type") == "object":
            result[key] = _with_defaults(result[key], below)
    return result


def _placeholders(document: yamltext.Document) -> None:
    """Found beside what the schema finds: who forgot one of the two may have forgotten both."""
    if document.value.get("network") == PLACEHOLDER:
        text, hint = "network: is still the example's placeholder", "put your network's id there"
        document.problems.append((document.line(("network",)), text, hint))


def _contradictions(data: dict[str, Any], document: yamltext.Document) -> list[yamltext.Problem]:
    """What no single key shows: keys that do not go together."""
    found: list[yamltext.Problem] = []

    def problem(path: yamltext.Path, text: str, hint: str) -> None:
        found.append((document.line(path), f"{validate.dotted(path)}: {text}", hint))

    controller, ipv4, wifi = data["controller"], data["ipv4"], data["wifi"]
    if controller["kind"] == "self-hosted" and "url" not in (document.value.get("controller") or {}):
        problem(
            ("controller", "url"),
            "is missing for a self-hosted controller",
            "for example http://10.0.0.5:9993",
        )
    if controller["token"] and controller["token"].strip(".<>") in ("", "token", "your-token"):
        problem(("controller", "token"), "is still the example's placeholder", "put the real token there")
    if controller["kind"] == "none" and (_token(controller["token"]) or controller["token-file"]):
        problem(("controller", "kind"), "none, though there is a token", "remove the token, or this line")
    if controller["token"] and controller["token-file"]:
        problem(("controller", "token-file"), "given beside token", "keep one of the two")
    if ipv4["mode"] == "snat" and not ipv4["source"]:
        problem(
            ("ipv4", "source"), "is missing for mode snat", "name the public IPv4 address of this machine"
        )
    if ipv4["mode"] != "snat" and ipv4["source"]:
        problem(("ipv4", "source"), "only goes with mode: snat", "set `mode: snat` or remove source")
    mode, prefix = data["ipv6"]["mode"], data["ipv6"]["prefix"]
    if mode == "ndp-proxy" and prefix != "auto" and not prefix.endswith("/64"):
        problem(("ipv6", "prefix"), "is no /64, which mode: ndp-proxy needs", "set `mode: routed`")
    if mode in ("nat66", "off") and prefix != "auto":
        problem(("ipv6", "prefix"), f"does not go with mode: {mode}", "remove it, or set another mode")
    for key, hint in (("ssid", "name the wireless network"), ("country", "for example `country: DE`")):
        if wifi[key] is None and any((wifi["ssid"], wifi["password"], wifi["country"], wifi["hidden"])):
            problem(("wifi", key), "is missing beside the other keys of wifi", hint)
    return found


def _build(data: dict[str, Any]) -> Config:
    gateway, ipv4, ipv6, firewall = data["gateway"], data["ipv4"], data["ipv6"], data["firewall"]
    members = data["members"]
    allow = (formats.parse_allow(entry) for entry in firewall["allow"])
    reach = (formats.parse_private(entry) for entry in firewall["reach"])
    return Config(
        network=data["network"].lower(),
        controller=_build_controller(data["controller"]),
        gateway=Gateway(gateway["name"], _address(gateway["address"]), gateway["takeover"], gateway["mtu"]),
        ipv4=IPv4(ipv4["mode"], _address(ipv4["source"])),
        ipv6=IPv6(
            ipv6["mode"],
            None if ipv6["prefix"] == "auto" else ipaddress.IPv6Network(ipv6["prefix"]),
            int(ipv6["subnet"], 16),
        ),
        firewall=Firewall(
            firewall["inbound"],
            tuple(AllowRule(*rule) for rule in allow if rule),
            tuple(network for network in reach if network),
        ),
        dns=_build_dns(data["dns"]),
        members=Members(members["check-ipv4"], members["check-ipv6"], members["check-resolver"]),
        page=data["page"] == "on",
        updates=Updates(data["updates"]["mode"] == "security", data["updates"]["hour"]),
        wifi=_build_wifi(data["wifi"]),
        ssh=Ssh(tuple(key.strip() for key in data["ssh"]["authorized-keys"]), data["ssh"]["from"]),
        zerotier=ZeroTier(tuple(data["zerotier"]["moons"]), data["zerotier"]["planet"]),
    )


def _build_controller(data: dict[str, Any]) -> Controller:
    url, kind = data["url"].rstrip("/"), data["kind"]
    if kind == "auto":
        kind = _kind(url)
    elif kind == "central-v2" and url == central_v1():
        url = CENTRAL_V2
    return Controller(
        kind=kind,
        url=url,
        token=_token(data["token"]),
        token_file=data["token-file"],
        token_after_setup=data["token-after-setup"],
        ca_file=data["ca-file"],
    )


def central_v1() -> str:
    """Legacy Central's address, the default."""
    return str(schema()["properties"]["controller"]["properties"]["url"]["default"])


def _kind(url: str) -> str:
    """The kind of controller that a URL shows."""
    if url == central_v1():
        return "auto"
    where = urlsplit(url)
    if where.path.endswith("/api/v1"):
        return "central-v1"
    if where.hostname == urlsplit(CENTRAL_V2).hostname or where.path.endswith("/api/v2"):
        return "central-v2"
    return "self-hosted"


def _token(text: str | None) -> Secret | None:
    """A token that is one; where one was discarded there is none."""
    return None if text is None or DISCARDED.fullmatch(text) else Secret(text)


def _build_dns(data: dict[str, Any]) -> Dns | None:
    if not data["enabled"]:
        return None
    given = data["upstream"]
    addresses = () if given in ("recursive", "wan") else [given] if isinstance(given, str) else given
    anchors = (formats.parse_ds(text) for text in data["trust-anchors"])
    return Dns(
        domain=(data["domain"] or "").lower(),
        upstream="" if addresses else given,
        forward=tuple(str(ipaddress.ip_address(text)) for text in addresses),
        anchors=tuple(anchor for anchor in anchors if anchor),
    )


def _build_wifi(data: dict[str, Any]) -> Wifi | None:
    if data["ssid"] is None:
        return None
    password = None if data["password"] is None else Secret(data["password"])
    return Wifi(data["ssid"].encode(), password, data["country"].upper(), data["hidden"])


def _address(text: str | None) -> ipaddress.IPv4Address | None:
    return None if text in (None, "auto") else ipaddress.IPv4Address(text)

"""gateway.yaml: what is understood, and what is said about what is not."""

import json
from ipaddress import IPv4Address, IPv6Network

import pytest
from ztgate import config
from ztgate.config import AllowRule
from ztgate.errors import ZtgateError
from ztgate.secret import Secret

NET = "network: 8056c2e21c000001\n"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHyVnXY8bQ0mS9pTqvYwXc7l2kJrUe5oGdN4aFhZt3Ri you@laptop"


def test_defaults() -> None:
    read = config.load(NET, "g")
    assert (read.network, read.gateway.name, read.gateway.mtu) == ("8056c2e21c000001", "ztgate", 1390)
    assert read.controller.kind == "auto"
    assert read.controller.url == "https://api.zerotier.com/api/v1"
    assert read.controller.token is None and read.gateway.address is None
    assert (read.ipv6.mode, read.ipv6.prefix, read.ipv6.subnet) == ("auto", None, 0xFF)
    assert (read.ssh.source, read.firewall.inbound) == ("members", "replies-only")


def test_everything() -> None:
    text = f"""\
network: 8056C2E21C000001
controller: {{kind: self-hosted, url: "http://10.0.0.5:9993/", token: secret-1, token-after-setup: keep}}
gateway: {{name: home gateway, address: 10.66.0.1, takeover: true, mtu: 1280}}
ipv4: {{mode: snat, source: 198.51.100.17}}
ipv6: {{mode: ndp-proxy, prefix: "2600:db8:0:1::/64", subnet: 10}}
firewall: {{inbound: open, allow: [tcp/22, udp/8000-8100], reach: [192.168.1.10, "fd00:1::/64"]}}
ssh: {{from: off, authorized-keys: ["{KEY}"]}}
zerotier: {{moons: [deadbeef00], planet: AQID}}
"""
    read = config.load(text, "g")
    assert read.network == "8056c2e21c000001"
    assert (read.controller.url, read.controller.token) == ("http://10.0.0.5:9993", Secret("secret-1"))
    assert (read.gateway.address, read.gateway.takeover) == (IPv4Address("10.66.0.1"), True)
    assert read.ipv6.prefix == IPv6Network("2600:db8:0:1::/64")
    assert read.ipv6.subnet == 0x10, "not the number ten"
    assert read.firewall.allow == (AllowRule("tcp", 22, 22), AllowRule("udp", 8000, 8100))
    assert [str(network) for network in read.firewall.reach] == ["192.168.1.10/32", "fd00:1::/64"]
    assert read.ssh.source == "off", "not the boolean that YAML makes of it"
    assert read.ssh.authorized_keys == (KEY,)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffnetwork: 8056c2e21c000001\r\ngateway:\r\n  mtu: 1300\r\n",
        "network: 0123456701234567\n",  # an octal number to YAML
        "network: '8056c2e21c000001'\ncontroller:\nipv6:\n",
        NET + "ipv6: {mode: off}\n",
        NET + "controller: {token: discarded-----}\n",
    ],
)
def test_accepted(text: str) -> None:
    assert config.load(text, "g").controller.token is None


# text, what the message has to hold, what the hint has to hold
BAD = [
    ("", "g.yaml: is empty", "network"),
    ("# nothing\n", "g.yaml: is empty", "network"),
    ("network: 8056c2e21c00000\n", "g.yaml:1: network: `8056c2e21c00000` has 15 characters", "whole id"),
    ("netwrk: 8056c2e21c000001\n", "g.yaml:1: netwrk: unknown key; did you mean `network`?", "network"),
    (NET + "gatway:\n  mtu: 1\n", "g.yaml:2: gatway: unknown key; did you mean `gateway`?", "gateway"),
    (NET + "colour: red\n", "g.yaml:2: colour: unknown key", "controller"),
    (NET + "gateway:\n  adress: auto\n", "g.yaml:3: gateway.adress: unknown key", "`address`"),
    (NET + "gateway:\n\tname: x\n", "g.yaml:3: indented with a tab", "spaces"),
    ("network: [\n", "g.yaml:1: broken YAML", "quotes"),
    (NET + 'gateway:\n  name: "x\n# end\n', "g.yaml:3: broken YAML", "quotes"),
    ("network 8056\n", "g.yaml:1: no colon after `network`", "`network: `"),
    ("8056c2e21c000001\n", "g.yaml:1: is not a list of `key: value` lines", "space after the colon"),
    ("---\nnetwork: 1\n---\nnetwork: 2\n", "broken YAML", "one document"),
    ("\x00\x01", "g.yaml:1: not a text file", "plain text"),
    (NET + NET, "g.yaml:2: network: given twice", "line 1"),
    (NET + "controller: {kind: none, token: abcd}\n", "controller.kind: none, though there is", "remove"),
    (NET + "ipv6: {mode: ndpproxy}\n", "`ndpproxy` is none of auto, ndp-proxy, ro", "write `ndp-proxy`"),
    (NET + "gateway: {address: 10.0.0.256}\n", "`10.0.0.256` is not auto or an IPv4 address", "10.66.0.1"),
    (NET + "gateway: {mtu: big}\n", "`big` is not a whole number", "1390"),
    (NET + "gateway: {mtu: 9000}\n", "`9000` is not between 1280 and 2800", "1390"),
    (NET + "gateway: {takeover: sure}\n", "`sure` is not true or false", ""),
    (NET + "firewall: {allow: [22/tcp]}\n", "firewall.allow[0]: `22/tcp` is not", "tcp/22"),
    (
        NET + "firewall: {reach: [8.8.8.8]}\n",
        "reach[0]: `8.8.8.8` is not a private network",
        "192.168.1.0/24",
    ),
    (NET + "firewall: {reach: [169.254.169.254]}\n", "`169.254.169.254` is not a private network", "192"),
    (NET + "firewall: {reach: [192.168.1.10/24]}\n", "`192.168.1.10/24` is not a private network", "192"),
    (NET + "firewall: {allow: [tcp/70000]}\n", "`tcp/70000` is not", "tcp/22"),
    (NET + "dns: maybe\n", "dns: `maybe` is not on or off, or a group", ""),
    (NET + "dns: [off]\n", "dns: a list is not on or off", ""),
    (NET + "dns: {domain: a_b.c}\n", "dns.domain: `a_b.c` is not a domain name", "net.example.com"),
    (NET + "dns: {domain: home.local}\n", "the last one not `local`", "net.example.com"),
    (NET + 'dns: {domain: "a.b\\" x"}\n', "is not a domain name", "net.example.com"),
    (NET + "dns: {upstream: google}\n", "`google` is not recursive, wan or a list", "[9.9.9.9, 2620:fe::fe]"),
    (NET + "dns: {upstream: [127.0.0.1]}\n", "upstream[0]: `127.0.0.1` is not the address", "9.9.9.9"),
    (NET + "dns: {trust-anchors: ['. DS 1 13 2 AB']}\n", "`. DS 1 13 2 AB` is not a DS record", "DS 31589"),
    (NET + "firewall: {allow: tcp/22}\n", "`tcp/22` is not a list", ""),
    (NET + "ssh: {authorized-keys: [abc]}\n", "is not an SSH public key", "id_ed25519.pub"),
    (NET + "ipv4: snat\n", "`snat` is not a group of `key: value` lines", ""),
    (NET + "ipv4: {mode: snat}\n", "ipv4.source: is missing for mode snat", "public IPv4"),
    (NET + "ipv4: {source: 1.2.3.4}\n", "only goes with mode: snat", "snat"),
    (NET + "ipv6: {prefix: '2600::/80'}\n", "`2600::/80` is not auto or a global IPv6 prefix", "2001"),
    (NET + "ipv6: {prefix: 'fd00::/64'}\n", "`fd00::/64` is not auto or a global IPv6 prefix", "2001"),
    (NET + "ipv6: {mode: ndp-proxy, prefix: '2600::/56'}\n", "ipv6.prefix: is no /64", "mode: routed"),
    (NET + "ipv6: {mode: nat66, prefix: '2600::/64'}\n", "does not go with mode: nat66", "remove it"),
    (NET + "controller: {kind: self-hosted}\n", "controller.url: is missing", "http://"),
    (NET + "controller: {url: api.zerotier.com}\n", "`api.zerotier.com` is not a URL", "http"),
    (NET + "controller: {token: '...'}\n", "the value is not a token", ""),
    (NET + "controller: {token: <token>}\n", "controller.token: is still the example's", "real token"),
    (NET + "controller: {token: ''}\n", "controller.token: is empty", "Zq8"),
    ("network: 0000000000000000\n", "g.yaml:1: network: is still the example's placeholder", "network's id"),
    (NET + "controller: {token: 'a b'}\n", "the value is not a token", ""),
    (NET + "zerotier: {moons: ['!!']}\n", "`!!` is not a .moon file in base64", "base64 -w0"),
]


@pytest.mark.parametrize(("text", "message", "hint"), BAD)
def test_bad_input(text: str, message: str, hint: str) -> None:
    with pytest.raises(ZtgateError) as caught:
        config.load(text, "g.yaml")
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize("text", ["off", "'off'", "no", "false", "{enabled: off}", "Off  # none"])
def test_dns_off(text: str) -> None:
    """YAML 1.1 makes a boolean of a bare `off`."""
    assert config.load(f"{NET}dns: {text}\n", "g.yaml").dns is None


@pytest.mark.parametrize("text", ["dns: on\n", "dns:\n", "dns: {}\n", ""])
def test_dns_on(text: str) -> None:
    assert config.load(f"{NET}{text}", "g.yaml").dns == config.Dns("", "recursive")


def test_all_problems_are_listed_by_line() -> None:
    text = "network: 1\ngateway: {mtu: 1}\nfirewall: {allow: [x, tcp/1]}\n"
    with pytest.raises(ZtgateError) as caught:
        config.load(text, "g")
    assert [line.split(": ")[0] for line in caught.value.message.splitlines()] == ["g:1", "g:2", "g:3"]


def test_secrets_are_not_repeated() -> None:
    private = "-----BEGIN OPENSSH PRIVATE KEY-----"
    with pytest.raises(ZtgateError) as caught:
        config.load(
            f"{NET}controller: {{token: 'my secret'}}\nssh: {{authorized-keys: ['{private}']}}\n", "g"
        )
    assert "my secret" not in caught.value.message and private not in caught.value.message
    assert "private key" in caught.value.message
    assert "s3cret-token" not in repr(config.load(NET + "controller: {token: s3cret-token}\n", "g"))


def test_every_setting_is_documented() -> None:
    def walk(part: dict[str, object], path: str) -> None:
        properties = part.get("properties")
        assert isinstance(properties, dict)
        for key, below in properties.items():
            assert below.get("title") and below.get("description"), f"{path}{key}"
            assert "default" in below or "examples" in below, f"{path}{key}"
            if "properties" in below:
                assert below["additionalProperties"] is False, f"{path}{key}"
                walk(below, f"{path}{key}.")

    walk(json.loads(config.SCHEMA_FILE.read_text()), "")
